"""The cache of host names, with a resolver and a time of the test's own."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from smartlb.upstream.names import FAILED_S, FRESH_S, MOST_LOOKUPS, STALE_S, Address, Names

V4 = (socket.AF_INET, ("192.0.2.1", 0))
OTHER = (socket.AF_INET, ("192.0.2.2", 0))
NO_NAME = UnicodeEncodeError("idna", "é", 0, 1, "label too long")
V6 = (socket.AF_INET6, ("2001:db8::1", 0, 0, 0))


class NameServer:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.asked: list[str] = []
        self._waiting: dict[str, asyncio.Future[Sequence[Address]]] = {}
        self.names = Names(self._resolve, lambda: self.now_s)

    async def _resolve(self, host: str) -> Sequence[Address]:
        self.asked.append(host)
        self._waiting[host] = asyncio.get_running_loop().create_future()
        return await self._waiting[host]

    async def answer(self, host: str, *addresses: Address) -> None:
        self._waiting[host].set_result(addresses)
        await settled()

    async def fail(self, host: str, error: Exception) -> None:
        self._waiting[host].set_exception(error)
        await settled()

    async def known(self, host: str, *addresses: Address) -> None:
        """Ask for a host that is then known."""
        asking = asyncio.create_task(self.ask(host))
        await settled()
        await self.answer(host, *addresses)
        await asking

    async def ask(self, host: str, port: int = 80) -> Sequence[Address]:
        return await self.names.addresses(host, port)


async def settled() -> None:
    """Wait until nothing happens any more without the test."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("host", "family", "target"),
    [
        ("192.0.2.7", socket.AF_INET, ("192.0.2.7", 80)),
        ("2001:db8::7", socket.AF_INET6, ("2001:db8::7", 80, 0, 0)),
        ("fe80::1%3", socket.AF_INET6, ("fe80::1", 80, 0, 3)),
        ("fe80::1%lo", socket.AF_INET6, ("fe80::1", 80, 0, socket.if_nametoindex("lo"))),
    ],
)
async def test_an_address_is_its_own_answer(host: str, family: int, target: tuple[object, ...]) -> None:
    server = NameServer()
    assert await server.ask(host) == ((family, target),)
    assert server.asked == []


async def test_an_answer_is_kept_for_every_port_and_in_its_order() -> None:
    server = NameServer()
    await server.known("a.example", V6, V4)
    server.now_s += FRESH_S / 2
    for port in (80, 443):
        assert await server.ask("a.example", port) == [
            (socket.AF_INET6, ("2001:db8::1", port, 0, 0)),
            (socket.AF_INET, ("192.0.2.1", port)),
        ]
    assert server.asked == ["a.example"]


async def test_a_name_is_looked_up_once_however_many_wait() -> None:
    server = NameServer()
    waiting = [asyncio.create_task(server.ask("a.example")) for _ in range(100)]
    await settled()
    assert server.asked == ["a.example"]
    await server.answer("a.example", V4)
    assert {tuple(await each) for each in waiting} == {((socket.AF_INET, ("192.0.2.1", 80)),)}


async def test_an_old_answer_is_used_while_a_new_one_comes() -> None:
    server = NameServer()
    await server.known("a.example", V4)
    server.now_s += FRESH_S
    for _ in range(3):
        assert (await server.ask("a.example"))[0][1][0] == "192.0.2.1"
    await settled()
    assert server.asked == ["a.example"] * 2
    await server.answer("a.example", OTHER)
    assert (await server.ask("a.example"))[0][1][0] == "192.0.2.2"


async def test_an_old_answer_is_used_while_look_ups_fail_but_not_for_ever() -> None:
    server = NameServer()
    await server.known("a.example", V4)
    server.now_s += FRESH_S
    await server.ask("a.example")
    await settled()
    await server.fail("a.example", OSError("no name server"))
    assert await server.ask("a.example")
    await settled()
    assert len(server.asked) == 2, "a failure is believed for a while"
    server.now_s += FAILED_S
    assert await server.ask("a.example")
    await settled()
    assert len(server.asked) == 3
    await server.fail("a.example", OSError("still none"))
    server.now_s += STALE_S - FAILED_S - FRESH_S
    asking = asyncio.create_task(server.ask("a.example"))
    await settled()
    assert not asking.done()
    await server.fail("a.example", OSError("none"))
    with pytest.raises(OSError, match="none"):
        await asking


async def test_a_failure_is_kept_for_a_short_while() -> None:
    server = NameServer()
    asking = asyncio.create_task(server.ask("a.example"))
    await settled()
    await server.fail("a.example", socket.gaierror(socket.EAI_NONAME, "unknown"))
    for each in (asking, server.ask("a.example"), server.ask("a.example")):
        with pytest.raises(socket.gaierror, match="unknown"):
            await each
    assert server.asked == ["a.example"]
    server.now_s += FAILED_S
    await server.known("a.example", V4)


@pytest.mark.parametrize("error", [None, UnicodeError("label too long"), NO_NAME])
async def test_what_has_no_address_says_so(error: Exception | None) -> None:
    server = NameServer()
    asking = asyncio.create_task(server.ask("a.example"))
    await settled()
    await (server.answer("a.example") if error is None else server.fail("a.example", error))
    for each in (asking, server.ask("a.example")):
        with pytest.raises(OSError if error is None else UnicodeError):
            await each


async def test_who_gives_up_leaves_the_look_up_to_others() -> None:
    server = NameServer()
    impatient = asyncio.create_task(server.ask("a.example"))
    patient = asyncio.create_task(server.ask("a.example"))
    await settled()
    impatient.cancel()
    await settled()
    assert impatient.cancelled()
    await server.answer("a.example", V4)
    assert (await patient)[0][1][0] == "192.0.2.1"
    assert server.asked == ["a.example"]


async def test_a_name_that_hangs_holds_up_no_other() -> None:
    server = NameServer()
    hanging = [asyncio.create_task(server.ask("slow.example")) for _ in range(2 * MOST_LOOKUPS)]
    await settled()
    await server.known("a.example", V4)
    for each in hanging:
        each.cancel()
    await server.answer("slow.example", V4)


async def test_look_ups_at_once_are_bounded() -> None:
    server = NameServer()
    asking = [asyncio.create_task(server.ask(f"{number}.example")) for number in range(MOST_LOOKUPS + 2)]
    await settled()
    assert len(server.asked) == MOST_LOOKUPS
    await server.answer("0.example", V4)
    assert len(server.asked) == MOST_LOOKUPS + 1
    for number in range(1, MOST_LOOKUPS + 2):
        await server.answer(f"{number}.example", V4)
    await asyncio.gather(*asking)


async def test_names_that_nobody_asks_for_are_forgotten() -> None:
    server = NameServer()
    for number in range(5):
        await server.known(f"{number}.example", V4)
    server.now_s += STALE_S
    await server.known("a.example", V4)
    assert list(server.names._known) == ["a.example"]


async def test_the_system_is_asked_without_a_name_server() -> None:
    names = Names()
    assert ("127.0.0.1", 80) in [target[:2] for _, target in await names.addresses("localhost", 80)]
    with pytest.raises(UnicodeError):
        await names.addresses("a" * 64 + ".example", 80)

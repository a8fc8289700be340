"""UDP listeners: sessions, answers, silence, backends that do not listen, limits; over real sockets."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND
from smartlb.core.segment import Gauge
from tests.eventually import eventually
from tests.proxy.live import Live, LiveRouter

UDP: dict[str, Any] = {"protocol": "udp", "pool": "web"}
Answer = Callable[[bytes], bytes | None]


class UdpServer(asyncio.DatagramProtocol):
    """Answers each datagram by a function of it; None is no answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.received: list[tuple[bytes, Any]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.address = "127.0.0.1:{}".format(transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.received.append((data, address))
        answer = self.answer(data)
        if answer is not None:
            self.transport.sendto(answer, address)


class UdpClient(asyncio.DatagramProtocol):
    """Sends to the router and waits for what comes back."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport

    def datagram_received(self, data: bytes, _address: Any) -> None:
        self._answers.put_nowait(data)

    def send(self, data: bytes) -> None:
        self._transport.sendto(data)

    async def answer(self) -> bytes:
        return await asyncio.wait_for(self._answers.get(), 10)

    async def ask(self, data: bytes) -> bytes:
        self.send(data)
        return await self.answer()

    def close(self) -> None:
        self._transport.close()


@asynccontextmanager
async def servers(count: int, answer: Answer = bytes.upper) -> AsyncIterator[list[UdpServer]]:
    loop = asyncio.get_running_loop()
    made = [
        (await loop.create_datagram_endpoint(lambda: UdpServer(answer), local_addr=("127.0.0.1", 0)))[1]
        for _ in range(count)
    ]
    try:
        yield made
    finally:
        for server in made:
            server.transport.close()


async def _client(router: LiveRouter) -> UdpClient:
    loop = asyncio.get_running_loop()
    return (await loop.create_datagram_endpoint(UdpClient, remote_addr=("127.0.0.1", router.port)))[1]


def query(number: int, name: str) -> bytes:
    """A DNS query for an A record (RFC 1035 section 4.1)."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", 1, 1)


def resolve(data: bytes) -> bytes:
    """The answer 192.0.2.1 to a DNS query."""
    return (
        data[:2]
        + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0)
        + data[12:]
        + struct.pack("!HHHIH", 0xC00C, 1, 1, 60, 4)
        + bytes([192, 0, 2, 1])
    )


async def test_dns(live: Live) -> None:
    async with servers(3, resolve) as backends:
        router = await live.router(*(backend.address for backend in backends), listener=UDP)
        clients = [await _client(router) for _ in range(6)]
        for number, client in enumerate(clients):
            for again in range(3):
                asked = query(number * 10 + again, "www.example.com")
                assert await client.ask(asked) == resolve(asked)
        assert router.in_flight == [2, 2, 2]
        assert router.gauge(Gauge.UDP_SESSIONS) == 6
        for backend in backends:
            assert len(backend.received) == 6
            assert len({address for _, address in backend.received}) == 2
        router.sweep(ahead_s=31)
        assert router.in_flight == [0, 0, 0]
        records = await router.records(6)
        assert {record["outcome"] for record in records} == {Outcome.COMPLETE}
        assert {record["request_bytes"] for record in records} == {3 * len(query(0, "www.example.com"))}
        assert all(0 < record["first_byte_s"] < record["total_s"] for record in records)
        assert router.gauge(Gauge.UDP_SESSIONS) == 0
        asked = query(7, "a.example")
        assert await clients[0].ask(asked) == resolve(asked)  # a session anew
        for client in clients:
            client.close()


async def test_several_answers_and_answers_unasked(live: Live) -> None:
    async with servers(1) as (backend,):
        router = await live.router(backend.address, listener=UDP)
        client = await _client(router)
        assert await client.ask(b"a") == b"A"
        for _ in range(3):
            backend.transport.sendto(b"news", backend.received[0][1])
            assert await client.answer() == b"news"
        client.close()


async def test_large_datagrams(live: Live) -> None:
    async with servers(1) as (backend,):
        router = await live.router(backend.address, listener=UDP)
        client = await _client(router)
        assert await client.ask(b"x" * 60_000) == b"X" * 60_000
        client.close()


async def test_silence_is_the_backends_failure(live: Live) -> None:
    async with servers(1, lambda _data: None) as (backend,):
        router = await live.router(backend.address, listener=UDP)
        client = await _client(router)
        client.send(b"anyone?")
        await eventually(lambda: backend.received)
        router.sweep(ahead_s=29)
        assert router.in_flight == [1]
        router.sweep(ahead_s=31)
        assert (await router.record())["outcome"] is Outcome.RESPONSE_TIMEOUT
        client.close()


async def test_one_way(live: Live) -> None:
    async with servers(1, lambda _data: None) as (backend,):
        router = await live.router(backend.address, listener={**UDP, "one_way": True})
        client = await _client(router)
        for number in range(5):
            client.send(b"<13>line %d" % number)
        await eventually(lambda: len(backend.received) == 5)
        assert [data for data, _ in backend.received] == [b"<13>line %d" % number for number in range(5)]
        router.sweep(ahead_s=31)
        record = await router.record()
        assert (record["outcome"], record["first_byte_s"]) == (Outcome.COMPLETE, 0)
        client.close()


async def test_another_backend_where_nobody_listens(live: Live) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        unused = f"127.0.0.1:{bound.getsockname()[1]}"
    async with servers(1) as (backend,):
        router = await live.router(unused, backend.address, listener=UDP)
        first, second = await _client(router), await _client(router)
        assert await first.ask(b"a") == b"A"
        assert await second.ask(b"b") == b"B"
        (failed,) = await router.records(1)
        assert (failed["outcome"], failed["backend"], failed["attempt"]) == (Outcome.CONNECT_FAILED, 0, 1)
        assert router.in_flight == [0, 2]
        first.close()
        second.close()


async def test_nobody_listens_any_more(live: Live) -> None:
    async with servers(1) as (backend,):
        router = await live.router(backend.address, listener=UDP)
        client = await _client(router)
        assert await client.ask(b"a") == b"A"
    await asyncio.sleep(0.05)
    client.send(b"b")
    assert (await router.record())["outcome"] is Outcome.RESET
    assert router.in_flight == [0]
    client.close()


async def test_no_backend_is_eligible(live: Live) -> None:
    async with servers(1) as (backend,):
        router = await live.router(backend.address, listener=UDP)
        router.set_eligible(0)
        client = await _client(router)
        client.send(b"a")
        record = await router.record()
        assert (record["outcome"], record["backend"]) == (Outcome.NO_BACKEND, NO_BACKEND)
        client.close()


async def test_sessions_wait_for_room(live: Live) -> None:
    async with servers(1) as (backend,):
        limited = {"address": backend.address, "max_in_flight": 1}
        router = await live.router(limited, listener=UDP, pool={"queue": {"max_waiting": 2, "timeout_s": 40}})
        first, second = await _client(router), await _client(router)
        assert await first.ask(b"a") == b"A"
        for _ in range(100):
            second.send(b"b")
        await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
        await asyncio.sleep(0.05)
        router.sweep(ahead_s=31)  # the first is over
        assert {await second.answer() for _ in range(16)} == {b"B"}  # as many as are kept
        assert router.in_flight == [1]
        first.close()
        second.close()


async def test_too_many_sessions(live: Live) -> None:
    async with servers(1) as (backend,):
        router = await live.router(backend.address, listener=UDP, limits={"udp_sessions": 2})
        clients = [await _client(router) for _ in range(3)]
        assert await clients[0].ask(b"a") == await clients[1].ask(b"a") == b"A"
        clients[2].send(b"a")
        await eventually(lambda: router.gauge(Gauge.CONNECTIONS_REFUSED) == 1)
        assert await clients[0].ask(b"b") == b"B"
        assert router.gauge(Gauge.UDP_SESSIONS) == 2
        for client in clients:
            client.close()


async def test_a_name_that_does_not_exist(live: Live) -> None:
    router = await live.router("nowhere.invalid:53", listener=UDP)
    client = await _client(router)
    client.send(b"a")
    assert (await router.record())["outcome"] is Outcome.CONNECT_FAILED
    client.close()


async def test_answers_come_through_while_the_worker_drains(live: Live) -> None:
    async with servers(1, lambda _data: None) as (backend,):
        router = await live.router(backend.address, listener=UDP)
        client, late = await _client(router), await _client(router)
        client.send(b"a")
        await eventually(lambda: backend.received)
        router.worker.drain()
        late.send(b"too late")
        backend.transport.sendto(b"answer", backend.received[0][1])
        assert await client.answer() == b"answer"
        router.sweep(ahead_s=2)
        await eventually(lambda: router.worker.idle)
        assert len(backend.received) == 1
        client.close()
        late.close()


async def test_an_empty_datagram_is_nothing(live: Live) -> None:
    async with servers(1) as (backend,):
        router = await live.router(backend.address, listener=UDP)
        client = await _client(router)
        client.send(b"")
        assert await client.ask(b"a") == b"A"
        client.close()
        assert [data for data, _ in backend.received] == [b"a"]


async def test_a_client_that_never_stops_asking_leaves_a_backend_that_is_out(live: Live) -> None:
    async with servers(2) as backends:
        router = await live.router(*(backend.address for backend in backends), listener=UDP)
        client = await _client(router)
        assert await client.ask(b"a") == b"A"
        at = 0 if backends[0].received else 1
        backends[at].answer = lambda _data: None
        client.send(b"b")
        await eventually(lambda: len(backends[at].received) == 2)
        router.set_eligible(*(int(number != at) for number in range(2)))
        assert await client.ask(b"c") == b"C"
        assert (await router.record())["outcome"] is Outcome.COMPLETE
        client.close()


async def test_a_client_that_never_stops_asking_leaves_a_backend_that_is_silent(live: Live) -> None:
    async with servers(2) as backends:
        router = await live.router(
            *(backend.address for backend in backends), listener=UDP, timeouts={"udp_idle_s": 0.2}
        )
        client = await _client(router)
        assert await client.ask(b"a") == b"A"
        silent = next(backend for backend in backends if backend.received)
        (other,) = (backend for backend in backends if backend is not silent)
        silent.answer = lambda _data: None

        async def asked() -> bool:
            client.send(b"b")
            await asyncio.sleep(0.03)
            return bool(other.received)

        async with asyncio.timeout(10):
            while not await asked():
                pass
        client.close()


async def test_what_the_network_does_not_take_is_not_kept(live: Live) -> None:
    class Full:
        sent = 0

        def get_write_buffer_size(self) -> int:
            return 100_000

        def sendto(self, data: bytes) -> None:
            self.sent += len(data)

        def abort(self) -> None:
            """Nothing to close."""

    async with servers(1) as (backend,):
        router = await live.router(backend.address, listener=UDP)
        client = await _client(router)
        assert await client.ask(b"a") == b"A"
        (session,) = router.worker.admission.udp_sessions
        open_one, full = session._backend, Full()
        session._backend = full
        session.receive(b"b")
        session._backend = open_one
        assert full.sent == 0
        client.close()

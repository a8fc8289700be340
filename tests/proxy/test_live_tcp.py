"""TCP listeners: bytes both ways, ends and breaks of either side, slow sides, timeouts, waiting, failing backends."""

import asyncio
import json
import logging
import os
import resource
import socket
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND
from smartlb.core.segment import Gauge
from smartlb.layer4 import tcp
from smartlb.policies.registry import POLICIES
from smartlb.wire.proxy_protocol import encode
from tests.authority import Authority
from tests.eventually import eventually
from tests.proxy.live import Client, Live, LiveRouter
from tests.proxy.origin import Link, Origin

TCP: dict[str, Any] = {"protocol": "tcp", "pool": "web"}
LARGE = bytes(range(256)) * 40_000  # 10 MB, more than all buffers on the way together


async def echo(link: Link) -> None:
    """Send back what comes, to its end."""
    while data := await link.reader.read(65_536):
        link.writer.write(data)
        await link.writer.drain()


async def count(link: Link) -> None:
    """Read to the end, then say how much it was."""
    size = 0
    while data := await link.reader.read(65_536):
        size += len(data)
    await link.send(b"%d" % size)


def greeting(words: bytes) -> Any:
    async def script(link: Link) -> None:
        await link.send(words)
        await echo(link)

    return script


def unused_address() -> str:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{bound.getsockname()[1]}"


async def _pair(live: Live, script: Any = echo, **settings: Any) -> tuple[Origin, LiveRouter, Client]:
    return await live.pair(script, listener=TCP, **settings)


async def test_bytes_both_ways_and_the_record(live: Live) -> None:
    _origin, router, client = await _pair(live)
    await client.send(b"one")
    assert await client.reader.readexactly(3) == b"one"
    assert router.in_flight == [1]
    await client.send(b"three")
    client.writer.write_eof()
    assert await client.rest() == b"three"
    record = await router.record()
    assert (record["outcome"], record["status"], record["attempt"]) == (Outcome.COMPLETE, 0, 1)
    assert (record["request_bytes"], record["response_bytes"], record["backend"]) == (8, 8, 0)
    assert record["route"] == 0  # the listener itself, for no route of requests comes before
    assert 0 < record["first_byte_s"] <= record["total_s"]
    await eventually(lambda: router.in_flight == [0])


async def test_the_server_may_speak_first(live: Live) -> None:
    _origin, router, client = await _pair(live, greeting(b"220 ready\r\n"))
    assert await client.reader.readline() == b"220 ready\r\n"
    await client.send(b"QUIT")
    client.writer.write_eof()
    assert await client.rest() == b"QUIT"
    assert (await router.record())["outcome"] is Outcome.COMPLETE


async def test_a_clients_silence_before_its_first_bytes_is_not_the_backends(live: Live) -> None:
    origin, router, client = await _pair(live)
    await eventually(lambda: origin.links)
    await asyncio.sleep(0.3)
    await client.send(b"late")
    client.writer.write_eof()
    assert await client.rest() == b"late"
    record = await router.record()
    assert record["first_byte_s"] <= record["total_s"] - 0.1


async def test_the_client_ends_first_and_still_gets_the_answer(live: Live) -> None:
    _origin, router, client = await _pair(live, count)
    client.writer.write(LARGE)
    client.writer.write_eof()
    assert await client.rest() == b"%d" % len(LARGE)
    assert (await router.record())["request_bytes"] == len(LARGE)


async def test_the_backend_ends_first_and_still_reads(live: Live) -> None:
    received = bytearray()

    async def script(link: Link) -> None:
        await link.send(b"bye")
        link.writer.write_eof()
        while data := await link.reader.read(65_536):
            received.extend(data)

    _origin, router, client = await _pair(live, script)
    assert await client.rest() == b"bye"
    await client.send(LARGE)
    client.writer.write_eof()
    record = await router.record()
    assert (record["outcome"], record["request_bytes"]) == (Outcome.COMPLETE, len(LARGE))
    await eventually(lambda: len(received) == len(LARGE))
    assert received == LARGE


async def test_a_client_that_sends_nothing_but_its_end(live: Live) -> None:
    _origin, router, client = await _pair(live, count)
    client.writer.write_eof()
    assert await client.rest() == b"0"
    assert (await router.record())["outcome"] is Outcome.COMPLETE


async def test_a_backend_that_only_takes(live: Live) -> None:
    async def script(link: Link) -> None:
        while await link.reader.read(65_536):
            pass

    _origin, router, client = await _pair(live, script)
    await client.send(b"<13>a line\n")
    client.writer.write_eof()
    assert await client.rest() == b""
    record = await router.record()
    assert record["outcome"] is Outcome.COMPLETE
    assert 0 <= record["first_byte_s"] <= record["total_s"]


async def test_a_slow_client_holds_up_the_backend(live: Live) -> None:
    sent = 0

    async def script(link: Link) -> None:
        nonlocal sent
        for at in range(0, len(LARGE), 65_536):
            link.writer.write(LARGE[at : at + 65_536])
            await link.writer.drain()
            sent = at + 65_536

    router = await live.router(await live.origin(script), listener=TCP)
    sock = socket.create_connection(("127.0.0.1", router.port))
    sock.setblocking(False)
    await _stalls(lambda: sent)
    assert 0 < sent < len(LARGE)
    client = Client(*await asyncio.open_connection(sock=sock))
    live.clients.append(client)
    received = await client.reader.readexactly(len(LARGE))
    client.writer.write_eof()
    assert received == LARGE
    assert (await router.record())["outcome"] is Outcome.COMPLETE


async def test_a_slow_backend_holds_up_the_client(live: Live) -> None:
    go = asyncio.Event()

    async def script(link: Link) -> None:
        link.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await go.wait()
        link.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await count(link)

    _origin, router, client = await _pair(live, script)
    client.writer.write(LARGE)
    client.writer.write_eof()
    left = client.writer.transport.get_write_buffer_size
    await _stalls(left)
    assert left() > 0
    go.set()
    assert await client.rest() == b"%d" % len(LARGE)
    assert (await router.record())["outcome"] is Outcome.COMPLETE


async def _stalls(progress: Any) -> None:
    """Wait until a figure has not changed for a while."""
    unchanged, before = 0, -1
    async with asyncio.timeout(10):
        while unchanged < 10:
            await asyncio.sleep(0.02)
            unchanged, before = (unchanged + 1 if progress() == before else 0), progress()


async def test_a_reset_of_the_client_is_passed_on(live: Live) -> None:
    seen: list[str] = []

    async def script(link: Link) -> None:
        try:
            while await link.reader.read(100):
                pass
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    _origin, router, client = await _pair(live, script)
    await client.send(b"half a mess")
    await eventually(lambda: router.in_flight == [1])
    client.reset()
    record = await router.record()
    assert record["outcome"] is Outcome.CLIENT_GONE
    await eventually(lambda: seen)
    assert seen == ["reset"]


@pytest.mark.parametrize(("before", "outcome"), [(b"", Outcome.RESET), (b"half", Outcome.TRUNCATED)])
async def test_a_reset_of_the_backend_is_passed_on(live: Live, before: bytes, outcome: Outcome) -> None:
    async def script(link: Link) -> None:
        await link.reader.readexactly(2)
        await link.send(before)
        await link.reader.readexactly(2)
        link.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.reset()

    _origin, router, client = await _pair(live, script)
    await client.send(b"go")
    assert await client.reader.readexactly(len(before)) == before
    await client.send(b"on")
    with pytest.raises(ConnectionResetError):
        await client.rest()
    assert (await router.record())["outcome"] is outcome


async def test_a_backend_that_closes_at_once_has_failed(live: Live) -> None:
    async def script(link: Link) -> None:
        link.writer.close()

    _origin, router, client = await _pair(live, script)
    assert await client.cut() == b""
    outcome = (await router.record())["outcome"]
    assert outcome in (Outcome.RESET, Outcome.CONNECT_FAILED)


async def test_another_backend_is_tried_where_none_listens(live: Live) -> None:
    origin = await live.origin()
    origin.script = echo
    router = await live.router(unused_address(), origin, listener=TCP)
    for _ in range(2):
        client = await live.client(router)
        await client.send(b"hello")
        client.writer.write_eof()
        assert await client.rest() == b"hello"
    records = sorted(await router.records(3), key=lambda r: (r["outcome"], r["attempt"]))
    assert [(r["outcome"], r["backend"], r["attempt"]) for r in records] == [
        (Outcome.COMPLETE, 1, 1),
        (Outcome.COMPLETE, 1, 2),
        (Outcome.CONNECT_FAILED, 0, 1),
    ]


async def test_no_backend_listens(live: Live) -> None:
    router = await live.router(unused_address(), unused_address(), unused_address(), listener=TCP)
    client = await live.client(router)
    assert await client.cut() == b""
    records = await router.records(2)
    assert {r["outcome"] for r in records} == {Outcome.CONNECT_FAILED}
    assert len({r["backend"] for r in records}) == 2


async def test_no_backend_is_eligible(live: Live) -> None:
    origin = await live.origin(echo)
    router = await live.router(origin, listener=TCP)
    router.set_eligible(0)
    assert await (await live.client(router)).cut() == b""
    record = await router.record()
    assert (record["outcome"], record["backend"]) == (Outcome.NO_BACKEND, NO_BACKEND)


@pytest.mark.parametrize("policy", [name for name, policy in POLICIES.items() if policy.key != "url"])
async def test_every_policy_serves(live: Live, policy: str) -> None:
    origins = [await live.origin(echo) for _ in range(3)]
    router = await live.router(*origins, listener=TCP, pool={"policy": policy})
    router.publish(1, [0.2, 0.3, 0.5])
    for _ in range(12):
        client = await live.client(router)
        await client.send(b"x")
        client.writer.write_eof()
        assert await client.rest() == b"x"
    shares = Counter(record["backend"] for record in await router.records(12))
    assert shares.total() == 12
    assert (len(shares) == 1) == (policy == "ip_hash") or policy in ("learned", "peak_ewma", "least_time")


async def test_connections_wait_for_room(live: Live) -> None:
    origin = await live.origin(greeting(b"hi"))
    limited = {"address": origin.address, "max_in_flight": 1}
    router = await live.router(limited, listener=TCP, pool={"queue": {"max_waiting": 1, "timeout_s": 5}})
    first = await live.client(router)
    assert await first.reader.readexactly(2) == b"hi"
    second = await live.client(router)
    await second.send(b"kept")
    await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
    third = await live.client(router)
    assert await third.cut() == b""
    assert (await router.record())["outcome"] is Outcome.QUEUE_FULL
    first.writer.write_eof()
    assert await first.rest() == b""
    assert await second.reader.readexactly(6) == b"hikept"
    assert router.in_flight == [1]
    waits = await live.client(router)
    await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
    router.sweep(ahead_s=6)
    assert await waits.cut() == b""
    outcomes = {record["outcome"]: record for record in await router.records(2)}
    assert outcomes.keys() == {Outcome.COMPLETE, Outcome.QUEUE_TIMEOUT}
    second.writer.write_eof()
    assert await second.rest() == b""
    assert (await router.record())["queued_s"] > 0


async def test_a_client_that_waits_may_leave(live: Live) -> None:
    origin = await live.origin(greeting(b"hi"))
    router = await live.router({"address": origin.address, "max_in_flight": 1}, listener=TCP)
    first = await live.client(router)
    assert await first.reader.readexactly(2) == b"hi"
    second = await live.client(router)
    await eventually(lambda: router.gauge(Gauge.WAITING) == 1)
    second.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    second.writer.transport.abort()
    assert (await router.record())["outcome"] is Outcome.CLIENT_GONE
    assert router.gauge(Gauge.WAITING) == 0


@pytest.mark.parametrize(
    ("script", "say", "outcome"),
    [
        (greeting(b"hi"), b"", Outcome.CLIENT_TIMEOUT),
        (count, b"answer me", Outcome.RESPONSE_TIMEOUT),
        (echo, b"", Outcome.CLIENT_TIMEOUT),
    ],
)
async def test_silence(live: Live, script: Any, say: bytes, outcome: Outcome) -> None:
    origin, router, client = await _pair(live, script, timeouts={"tcp_idle_s": 60})
    await client.send(say)
    await eventually(lambda: len(origin.links) == 1)
    await asyncio.sleep(0.05)
    router.sweep(ahead_s=50)
    assert router.in_flight == [1]
    router.sweep(ahead_s=70)
    assert await client.cut() in (b"", b"hi")
    assert (await router.record())["outcome"] is outcome


async def test_too_many_connections(live: Live) -> None:
    _origin, router, client = await _pair(live, limits={"connections": 1})
    await client.send(b"x")
    assert await client.reader.readexactly(1) == b"x"
    assert await (await live.client(router)).cut() == b""
    assert router.gauge(Gauge.CONNECTIONS_REFUSED) == 1
    assert router.gauge(Gauge.CONNECTIONS) == 1


async def test_a_drain_leaves_connections_alone(live: Live) -> None:
    _origin, router, client = await _pair(live)
    await client.send(b"x")
    assert await client.reader.readexactly(1) == b"x"
    router.worker.drain()
    await client.send(b"y")
    client.writer.write_eof()
    assert await client.rest() == b"y"
    await eventually(lambda: router.worker.idle)


async def test_the_access_log_has_connections(live: Live) -> None:
    ours, workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, workers:
        _origin, router, client = await _pair(live, access_log=workers)
        await client.send(b"x")
        client.writer.write_eof()
        assert await client.rest() == b"x"
        await router.record()
        router.tick()
        line = json.loads(ours.recv(65_536))
    assert (line["method"], line["target"], line["client"], line["request_id"]) == ("TCP", "", "127.0.0.1", "")
    assert (line["pool"], line["outcome"], line["request_bytes"]) == ("web", "complete", 1)


async def test_many_connections_at_once_and_none_left_behind(live: Live) -> None:
    origins = [await live.origin(echo) for _ in range(3)]
    router = await live.router(*origins, listener=TCP, pool={"policy": "least_connections"})

    async def one(number: int) -> None:
        client = await live.client(router)
        data = b"%d " % number * (number * 50)
        client.writer.write(data)
        client.writer.write_eof()
        assert await client.rest() == data

    await asyncio.gather(*map(one, range(100)))
    assert set(await router.outcomes(100)) == {Outcome.COMPLETE}


def _reads_little(port: int) -> socket.socket:
    """A client that has room for little, and is read from by hand."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    sock.connect(("127.0.0.1", port))
    return sock


async def _all_of(sock: socket.socket) -> int:
    """How many bytes come until the end; a reset is an error."""
    sock.setblocking(False)
    size = 0
    async with asyncio.timeout(10):
        while piece := await asyncio.get_running_loop().sock_recv(sock, 65_536):
            size += len(piece)
    return size


async def test_a_whole_answer_is_whole_whatever_the_client_says_after_it(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.reader.readexactly(3)
        await link.send(bytes(60_000))

    router = await live.router(await live.origin(script), listener=TCP)
    with _reads_little(router.port) as sock:
        sock.send(b"GET")
        await eventually(lambda: router.worker.admission.tcp_sessions)
        (session,) = router.worker.admission.tcp_sessions
        await eventually(lambda: session._backend is not None and session._backend.ended)
        for _ in range(3):
            sock.send(b"more")
            await asyncio.sleep(0.02)
        assert await _all_of(sock) == 60_000
    assert (await router.record())["outcome"] is Outcome.COMPLETE


async def test_the_end_of_an_answer_over_tls_is_not_lost_to_a_client_that_still_sends(
    live: Live, authority: Authority
) -> None:
    async def script(link: Link) -> None:
        await link.reader.readexactly(3)
        await link.send(bytes(150_000))

    origin = await live.origin(script, tls=authority.server(authority.issue("b", "localhost")))
    router = await live.router(origin, listener=TCP, pool={"tls": {"verify": False}})
    with _reads_little(router.port) as sock:
        sock.send(b"GET")
        for _ in range(20):
            await asyncio.sleep(0.01)
            sock.send(b"ping")
        assert await _all_of(sock) == 150_000
    assert (await router.record())["outcome"] is Outcome.COMPLETE


@pytest.mark.parametrize(("patience_s", "outcome"), [(0.0, Outcome.RESET), (0.3, Outcome.CLIENT_TIMEOUT)])
async def test_a_backend_that_waited_for_the_client_is_not_to_blame(
    live: Live, monkeypatch: pytest.MonkeyPatch, patience_s: float, outcome: Outcome
) -> None:
    monkeypatch.setattr(tcp, "_AT_ONCE_S", 0.2)

    async def script(_link: Link) -> None:
        await asyncio.sleep(patience_s)

    _origin, router, client = await _pair(live, script)
    await client.cut()
    assert (await router.record())["outcome"] is outcome


async def test_a_proxys_connections_are_not_those_of_one_client(live: Live) -> None:
    listener = {**TCP, "proxy_protocol": True, "trusted_proxies": ["127.0.0.1"]}
    router = await live.router(await live.origin(echo), limits={"connections_per_client": 1}, listener=listener)
    for _ in range(3):
        client = await live.client(router)
        await client.send(encode("v2", None) + b"hello")
        assert await client.reader.readexactly(5) == b"hello"


async def test_a_connection_that_nobody_waits_for_any_more_is_not_made(live: Live) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = []
        for _ in range(4):  # until the backlog is full, and further attempts go unanswered
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
            waiting.append(sock)
        await asyncio.sleep(0.1)
        router = await live.router(f"127.0.0.1:{full.getsockname()[1]}", listener=TCP)
        connecting = router.worker.pools["web"].connections._connecting
        for _ in range(3):
            client = await live.client(router)
            await eventually(lambda: connecting)
            client.reset()
            await eventually(lambda: not connecting)
        for sock in waiting:
            sock.close()
    assert await router.outcomes(3) == [Outcome.CLIENT_GONE] * 3


async def test_what_the_router_lacks_is_no_failure_of_a_backend(live: Live, caplog: pytest.LogCaptureFixture) -> None:
    router = await live.router(await live.origin(echo), listener=TCP)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held, client = [], socket.socket()
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        os.close(held.pop())
        client.connect(("127.0.0.1", router.port))
        record = await router.record()
    finally:
        for fd in held:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        client.close()
    assert record["outcome"] is Outcome.INTERNAL
    assert [entry.getMessage() for entry in caplog.records if entry.levelno == logging.ERROR] == [
        "pool web: this router cannot connect to its backends: Too many open files"
    ]
    caplog.clear()


async def test_affinity_by_source(live: Live) -> None:
    origins = [await live.origin(echo) for _ in range(4)]
    router = await live.router(*origins, pool={"affinity": {"kind": "source_ip"}}, listener=TCP)
    for _ in range(8):
        client = await live.client(router)
        await client.send(b"x")
        assert await client.reader.readexactly(1) == b"x"
    assert sorted(len(origin.links) for origin in origins) == [0, 0, 0, 8]


async def test_a_client_that_does_not_end_its_side_is_closed_in_the_end(live: Live) -> None:
    async def script(link: Link) -> None:
        await link.reader.readexactly(3)
        await link.send(b"answer")

    router = await live.router(await live.origin(script, tls=None), listener=TCP)
    client = await live.client(router)
    await client.send(b"GET")
    assert await client.rest() == b"answer"
    router.sweep(ahead_s=3_700.0)
    await eventually(lambda: not router.worker.admission.tcp_sessions)

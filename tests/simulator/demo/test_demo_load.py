import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np
import pytest

from simulator.demo.load import ARRIVAL, BROKEN, TIMED_OUT, Array, Generator

Answer = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    """A server that hands each request's head to `answer`."""
    writers: list[asyncio.StreamWriter] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await answer(head.decode(), writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for writer in writers:
            writer.close()


def _response(status: int = 200, backend: str = "b2", more: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nx-backend: {backend}\r\ncontent-length: 2\r\n{more}\r\nok".encode()


def _arrivals(times: Sequence[float], work_ms: float = 1.0) -> Array:
    arrivals: Array = np.zeros(len(times), ARRIVAL)
    arrivals["at_s"] = times
    arrivals["work_ms"] = work_ms
    return arrivals


async def _replay(
    port: int, arrivals: Array, timeout_s: float = 5.0, max_connections: int = 10
) -> tuple[Array, Generator]:
    generator = Generator(
        "127.0.0.1",
        port,
        arrivals,
        classes=("page",),
        backends=("b1", "b2"),
        timeout_s=timeout_s,
        max_connections=max_connections,
    )
    results = await generator.run(asyncio.get_running_loop().time())
    await asyncio.sleep(0)
    return results, generator


async def test_requests_carry_their_work_and_results_say_who_answered() -> None:
    heads: list[str] = []

    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        heads.append(head)
        writer.write(_response(500 if len(heads) == 2 else 200))

    async with server(answer) as port:
        results, generator = await _replay(port, _arrivals([0.0, 0.02, 0.04], work_ms=12.5))
    assert results["status"].tolist() == [200, 500, 200]
    assert results["backend"].tolist() == [1, 1, 1]
    assert (results["latency_s"] > 0).all()
    assert all("x-class: page\r\n" in head and "x-work-ms: 12.500\r\n" in head for head in heads)
    assert (generator.sent, generator.done, generator.failed) == (3, 3, 1)


async def test_arrivals_do_not_wait_for_answers() -> None:
    gate = asyncio.Event()
    arrived = 0

    async def answer(_head: str, writer: asyncio.StreamWriter) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == 5:
            gate.set()
        await gate.wait()
        writer.write(_response())

    async with server(answer) as port:
        results, _ = await _replay(port, _arrivals([0.0, 0.01, 0.02, 0.03, 0.04]))
    # The first was answered only after the last had arrived, and its latency says so.
    assert results["status"].tolist() == [200] * 5
    assert results["latency_s"][0] >= 0.04
    assert not results["waited"].any()


async def test_a_request_without_an_answer_times_out_and_its_connection_is_given_up() -> None:
    async def answer(head: str, writer: asyncio.StreamWriter) -> None:
        if "9.000" not in head:
            writer.write(_response())

    arrivals = _arrivals([0.0, 0.01, 0.3])
    arrivals["work_ms"][0] = 9.0
    async with server(answer) as port:
        results, _ = await _replay(port, arrivals, timeout_s=0.2, max_connections=2)
    assert results["status"].tolist() == [TIMED_OUT, 200, 200]
    assert results["latency_s"][0] >= 0.2
    assert results["backend"][0] == -1


async def test_beyond_the_bound_requests_wait_and_that_counts_as_latency() -> None:
    gate = asyncio.Event()

    async def answer(_head: str, writer: asyncio.StreamWriter) -> None:
        asyncio.get_running_loop().call_later(0.1, gate.set)
        await gate.wait()
        writer.write(_response())

    async with server(answer) as port:
        results, _ = await _replay(port, _arrivals([0.0, 0.01, 0.02]), max_connections=1)
    assert results["status"].tolist() == [200] * 3
    assert results["waited"].tolist() == [False, True, True]
    assert results["latency_s"][1] >= 0.09


async def test_a_request_that_times_out_while_it_waits_is_never_sent() -> None:
    heads: list[str] = []

    async def answer(head: str, _writer: asyncio.StreamWriter) -> None:
        heads.append(head)

    async with server(answer) as port:
        results, _ = await _replay(port, _arrivals([0.0, 0.0]), timeout_s=1.0, max_connections=1)
    assert results["status"].tolist() == [TIMED_OUT, TIMED_OUT]
    assert len(heads) == 1


@pytest.mark.parametrize("reply", [b"", b"this is not HTTP\r\n\r\n"])
async def test_a_connection_that_breaks_is_a_failure_and_the_next_request_gets_a_new_one(
    reply: bytes,
) -> None:
    count = 0

    async def answer(_head: str, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        writer.write(reply if count == 1 else _response())
        if count == 1:
            writer.close()

    async with server(answer) as port:
        results, _ = await _replay(port, _arrivals([0.0, 0.1]), max_connections=1)
    assert results["status"].tolist() == [BROKEN, 200]


async def test_nobody_listening_is_a_failure() -> None:
    async def answer(_head: str, _writer: asyncio.StreamWriter) -> None: ...

    async with server(answer) as port:
        pass
    results, _ = await _replay(port, _arrivals([0.0, 0.01]), max_connections=1)
    assert results["status"].tolist() == [BROKEN, BROKEN]


async def test_an_answer_that_closes_its_connection_is_followed_by_a_new_one() -> None:
    async def answer(_head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(_response(more="connection: close\r\n"))
        writer.close()

    async with server(answer) as port:
        results, _ = await _replay(port, _arrivals([0.0, 0.0, 0.05]), max_connections=1)
    assert results["status"].tolist() == [200] * 3

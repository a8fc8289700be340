"""gRPC through the router, with grpcio at both ends."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc import aio

from smartlb.core.outcome import Outcome
from tests.proxy.live import Live, LiveRouter, request


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Methods that answer with what they are sent, or fail."""

    def service(self, details: Any) -> Any:
        return {
            "/echo/unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "/echo/fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "/echo/hang": grpc.unary_unary_rpc_method_handler(self.hang),
            "/echo/many": grpc.unary_stream_rpc_method_handler(self.many),
            "/echo/sum": grpc.stream_unary_rpc_method_handler(self.sum),
            "/echo/chat": grpc.stream_stream_rpc_method_handler(self.chat),
        }.get(details.method)

    async def unary(self, message: bytes, _context: Any) -> bytes:
        return message

    async def fail(self, message: bytes, context: Any) -> bytes:
        await context.abort(grpc.StatusCode[message.decode()], "größer")
        raise AssertionError

    async def hang(self, message: bytes, _context: Any) -> bytes:
        await asyncio.sleep(30)
        return message

    async def many(self, message: bytes, _context: Any) -> AsyncIterator[bytes]:
        for _ in range(20):
            yield message

    async def sum(self, messages: AsyncIterator[bytes], _context: Any) -> bytes:
        return b"%d" % sum([len(message) async for message in messages])

    async def chat(self, messages: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        async for message in messages:
            yield message.upper()


class Service:
    """A server and a channel to it by way of a router."""

    def __init__(self) -> None:
        self.server = aio.server(options=[("grpc.max_receive_message_length", 1 << 25)])
        self.server.add_generic_rpc_handlers((Echo(),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")

    async def start(self, live: Live) -> tuple[LiveRouter, aio.Channel]:
        await self.server.start()
        router = await live.router(
            f"127.0.0.1:{self.port}", pool={"protocol": "http2"}, limits={"body_bytes": 50_000_000}
        )
        options = [("grpc.max_receive_message_length", 1 << 25), ("grpc.enable_http_proxy", 0)]
        return router, aio.insecure_channel(f"127.0.0.1:{router.port}", options=options)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    yield service
    await service.server.stop(None)


async def test_unary_calls_share_a_connection(live: Live, service: Service) -> None:
    router, channel = await service.start(live)
    async with channel:
        call = channel.unary_unary("/echo/unary")
        assert await asyncio.gather(*(call(b"%d" % number, timeout=10) for number in range(50))) == [
            b"%d" % number for number in range(50)
        ]
    assert await router.outcomes(50) == [Outcome.COMPLETE] * 50
    assert router.worker.pools["web"].connections.opened == 1


async def test_a_large_message(live: Live, service: Service) -> None:
    _router, channel = await service.start(live)
    async with channel:
        message = bytes(range(256)) * 20_000
        assert await channel.unary_unary("/echo/unary")(message, timeout=20) == message


async def test_streams(live: Live, service: Service) -> None:
    _router, channel = await service.start(live)

    async def messages() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    async with channel:
        assert [message async for message in channel.unary_stream("/echo/many")(b"a", timeout=10)] == [b"a"] * 20
        assert await channel.stream_unary("/echo/sum")(messages(), timeout=10) == b"10000"
        chat = channel.stream_stream("/echo/chat")(timeout=10)
        for word in (b"one", b"two"):
            await chat.write(word)
            assert await chat.read() == word.upper()
        await chat.done_writing()
        assert await chat.read() is aio.EOF


@pytest.mark.parametrize(
    ("code", "status"),
    [("UNAVAILABLE", 503), ("INTERNAL", 500), ("NOT_FOUND", 200), ("INVALID_ARGUMENT", 200)],
)
async def test_a_failure_is_passed_on_and_counted_where_it_is_the_servers(
    live: Live, service: Service, code: str, status: int
) -> None:
    router, channel = await service.start(live)
    async with channel:
        with pytest.raises(aio.AioRpcError) as error:
            await channel.unary_unary("/echo/fail")(code.encode(), timeout=10)
    assert (error.value.code().name, error.value.details()) == (code, "größer")
    assert (await router.record())["status"] == status


async def test_a_deadline_of_the_client_ends_the_call_at_the_backend(live: Live, service: Service) -> None:
    router, channel = await service.start(live)
    async with channel:
        with pytest.raises(aio.AioRpcError) as error:
            await channel.unary_unary("/echo/hang")(b"", timeout=0.3)
        assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        record = await router.record()
        # The server knows of the deadline too, and may be the first to act on it.
        assert (record["outcome"], record["status"]) in ((Outcome.CLIENT_GONE, 0), (Outcome.COMPLETE, 504))
        assert router.in_flight == [0]
        assert await channel.unary_unary("/echo/unary")(b"a", timeout=10) == b"a"


async def test_a_server_that_stops_finishes_what_is_under_way(live: Live, service: Service) -> None:
    _router, channel = await service.start(live)
    async with channel:
        chat = channel.stream_stream("/echo/chat")(timeout=10)
        await chat.write(b"one")
        assert await chat.read() == b"ONE"
        stopping = asyncio.create_task(service.server.stop(5))
        await asyncio.sleep(0.1)
        await chat.write(b"two")
        assert await chat.read() == b"TWO"
        await chat.done_writing()
        assert await chat.read() is aio.EOF
        await stopping
        with pytest.raises(aio.AioRpcError) as error:
            await channel.unary_unary("/echo/unary")(b"", timeout=10)
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_of_http1_may_ask_such_a_backend(live: Live, service: Service) -> None:
    router, _channel = await service.start(live)
    client = await live.client(router)
    message = b"\0\0\0\0\2hi"
    answer = await client.ask(request("POST", "/echo/unary", "content-type: application/grpc", body=message))
    assert answer.body == message


async def test_a_backend_that_speaks_http1_only(live: Live) -> None:
    origin = await live.origin()
    router = await live.router(origin, pool={"protocol": "http2"})
    client = await live.client(router)
    assert (await client.ask(request())).start.startswith(b"HTTP/1.1 502 ")

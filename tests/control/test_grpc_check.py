"""Checks by grpc.health.v1, against grpcio's own health service and against servers that are none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from hypothesis import given
from hypothesis import strategies as st

from smartlb.config.model import Config
from smartlb.control.grpc_check import request_message, state_of
from smartlb.control.rise_fall import Health
from tests.authority import Authority
from tests.control.test_health_checker import Change, checking, raw_server

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def config(address: str, tls: dict[str, Any] | None = None, **check: Any) -> Config:
    settings = {"kind": "grpc", "interval_s": 0.02, "timeout_s": 2.0, "rise": 2, "fall": 2, **check}
    pool = {"backends": [address], "protocol": "http2", "health_check": settings, "tls": tls}
    listeners = [{"bind": "127.0.0.1:0"}]
    return Config.model_validate({"listeners": listeners, "pools": {"web": pool}, "workers": 1})


@asynccontextmanager
async def grpc_server(
    credentials: grpc.ServerCredentials | None = None, service: bool = True
) -> AsyncIterator[tuple[str, health.HealthServicer]]:
    """A server, its address, and what it says of its health."""
    server, servicer = aio.server(), health.HealthServicer()
    if service:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    if credentials is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    try:
        yield f"127.0.0.1:{port}", servicer
    finally:
        await server.stop(None)


async def first_change(settings: Config) -> Change:
    async with checking(settings) as (_, change):
        return await change()


async def test_a_server_that_serves_and_does_not() -> None:
    async with grpc_server() as (address, servicer), checking(config(address)) as (checker, change):
        assert await change() == (0, True, "serves (2 in a row)")
        await servicer.set("", NOT_SERVING)
        assert await change() == (0, False, "answered NOT_SERVING (2 in a row)")
        assert checker.health(0) is Health.UNHEALTHY
        await servicer.set("", SERVING)
        assert (await change())[1]


async def test_one_service_of_a_server() -> None:
    async with grpc_server() as (address, servicer):
        await servicer.set("shop.Orders", NOT_SERVING)
        await servicer.set("shop.Carts", SERVING)
        assert (await first_change(config(address, service="shop.Carts")))[1]
        assert (await first_change(config(address, service="shop.Orders")))[1:] == (
            False,
            "answered NOT_SERVING (2 in a row)",
        )
        _, healthy, reason = await first_change(config(address, service="shop.Unheard"))
        assert not healthy
        assert reason.startswith("answered gRPC status 5 to /grpc.health.v1.Health/Check")


async def test_a_server_without_the_health_service() -> None:
    async with grpc_server(service=False) as (address, _):
        _, healthy, reason = await first_change(config(address))
    assert not healthy
    assert reason.startswith("answered gRPC status 12 to /grpc.health.v1.Health/Check")


@pytest.mark.parametrize("trusted", [True, False])
async def test_over_tls(authority: Authority, trusted: bool) -> None:
    identity = authority.issue("backend", "127.0.0.1")
    pair = (Path(identity["key"]).read_bytes(), Path(identity["certificate"]).read_bytes())
    async with grpc_server(grpc.ssl_server_credentials([pair])) as (address, _):
        _, healthy, reason = await first_change(config(address, {"ca": authority.path} if trusted else {}))
    assert healthy == trusted
    assert reason.startswith("serves" if trusted else "/grpc.health.v1.Health/Check failed: the certificate is not")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", "it speaks HTTP/1, not HTTP/2"),
        (b"\0\0\4\3\0\0\0\0\0\0\0\0\0", "no valid answer of HTTP/2: "),
        (b"", "closed the connection without an answer"),
        (None, "no answer to /grpc.health.v1.Health/Check within 0.1 s"),
        # SETTINGS, then GOAWAY; SETTINGS, then RST_STREAM with REFUSED_STREAM.
        (bytes.fromhex("0000000400000000000000080700000000000000000000000000"), "refused the call (HTTP/2 error"),
        (bytes.fromhex("00000004000000000000000403000000000100000007"), "refused the call (HTTP/2 error"),
    ],
)
async def test_servers_that_do_not_speak_grpc(said: bytes | None, words: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        if said is None:
            await reader.read()
        else:
            writer.write(said)
            await writer.drain()

    async with raw_server(serve) as address:
        _, healthy, reason = await first_change(config(address, timeout_s=0.1 if said is None else 2.0))
    assert not healthy
    assert reason.startswith(words)


async def test_nobody_is_there() -> None:
    async with raw_server(lambda _reader, _writer: asyncio.sleep(0)) as address:
        pass
    assert await first_change(config(address)) == (
        0,
        False,
        f"cannot connect to {address}: Connection refused (2 in a row)",
    )


@given(st.text("abcXYZ019._", max_size=127), st.sampled_from([0, SERVING, NOT_SERVING, 3]))
def test_messages_are_those_of_protobuf(service: str, state: Any) -> None:
    message = request_message(service)
    assert message[:1] == b"\0"
    assert int.from_bytes(message[1:5], "big") == len(message) - 5
    assert health_pb2.HealthCheckRequest.FromString(message[5:]).service == service
    answer = health_pb2.HealthCheckResponse(status=state).SerializeToString()
    assert state_of(b"\0" + len(answer).to_bytes(4, "big") + answer) == state

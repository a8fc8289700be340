"""A WebSocket through `smartlb serve`, to the end of the router."""

import asyncio
import signal
from pathlib import Path

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from tests.served import configuration, serving


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def test_a_tunnel_lasts_as_long_as_the_router_waits_for_it(tmp_path: Path) -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        config = configuration([f"127.0.0.1:{port}"], {"policy": "round_robin"}, shutdown_s=3, workers=1)
        async with serving(config, tmp_path) as router, connect(f"ws://{router.listener}/") as socket:
            await socket.send("before")
            assert await socket.recv() == "before"
            await router.status_when(lambda status: status["pools"]["web"]["backends"][0]["in_flight"] == 1)
            router.process.send_signal(signal.SIGTERM)
            await socket.send("after")
            assert await socket.recv() == "after"
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(socket.recv(), 20)
            assert await asyncio.wait_for(router.process.wait(), 20) == 0
            assert "ends with 1 requests and connections unfinished" in router.log

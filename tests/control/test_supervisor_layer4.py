"""TCP and UDP listeners of a whole router: processes, metrics, access log, and a bound address."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp

from tests.eventually import eventually
from tests.served import configuration, serving


class Echo(asyncio.DatagramProtocol):
    """Sends every datagram back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.transport.sendto(data, address)


class Answers(asyncio.DatagramProtocol):
    """Keeps what comes back."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    def datagram_received(self, data: bytes, _address: Any) -> None:
        self.received.append(data)


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    writer.close()


async def test_connections_and_datagrams_through_the_processes(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    tcp = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    datagrams, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    udp = "127.0.0.1:{}".format(datagrams.get_extra_info("sockname")[1])
    access_log = tmp_path / "access.log"
    config = configuration(
        [tcp],
        {"health_check": {"kind": "tcp", "interval_s": 0.1}},
        listeners=[
            {"bind": "127.0.0.1:0", "protocol": "tcp", "pool": "web", "name": "echo"},
            {"bind": "127.0.0.1:0", "protocol": "udp", "pool": "datagrams"},
        ],
        access_log={"path": str(access_log)},
        timeouts={"udp_idle_s": 0.5},
    )
    config["pools"]["datagrams"] = {"backends": [udp], "policy": "ip_hash"}
    async with serving(config, tmp_path) as router:
        addresses = json.loads((tmp_path / "ready.json").read_text())["listeners"]
        host, _, port = addresses[0].rpartition(":")
        for number in range(20):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"%d" % number)
            writer.write_eof()
            assert await asyncio.wait_for(reader.read(), 10) == b"%d" % number
            writer.close()
        host, _, port = addresses[1].rpartition(":")
        transport, answers = await loop.create_datagram_endpoint(Answers, remote_addr=(host, int(port)))
        transport.sendto(b"ping")
        await eventually(lambda: answers.received == [b"ping"])
        status = await router.status_when(
            lambda status: (
                status["pools"]["web"]["backends"][0]["requests"] == 20
                and status["pools"]["datagrams"]["backends"][0]["requests"] == 1
                and status["pools"]["web"]["backends"][0]["health"] == "healthy"
            )
        )
        assert status["causes"] == {}
        async with aiohttp.ClientSession() as session, session.get(f"http://{router.admin}/metrics") as response:
            metrics = await response.text()
        labels = f'{{backend="{tcp}",pool="web",route="echo",status_class="none"}}'
        assert f"smartlb_requests_total{labels} 20.0" in metrics
        assert 'route="udp://127.0.0.1:0"' in metrics
        transport.close()
        assert await router.stopped() == 0
        assert "Traceback" not in router.log
    server.close()
    datagrams.close()
    lines = [json.loads(line) for line in access_log.read_text().splitlines()]
    assert [line["method"] for line in lines].count("TCP") == 20
    assert {line["route"] for line in lines} == {"echo", "udp://127.0.0.1:0"}
    assert {line["outcome"] for line in lines} == {"complete"}

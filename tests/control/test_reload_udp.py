"""Reloading while UDP sessions are open: their clients go on at the same address, and are answered."""

import asyncio
import json
from functools import partial
from pathlib import Path

from tests.control.test_supervisor_layer4 import Answers, Echo
from tests.eventually import eventually
from tests.served import configuration, serving


def _all_got(word: bytes, clients: list[Answers]) -> bool:
    return all(answers.received[-1:] == [word] for answers in clients)


async def test_sessions_go_on_over_a_reload(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    backend, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    address = "127.0.0.1:{}".format(backend.get_extra_info("sockname")[1])
    config = configuration(
        [address],
        {"policy": "round_robin"},
        listeners=[{"bind": "127.0.0.1:0", "protocol": "udp", "pool": "web"}],
        timeouts={"udp_idle_s": 60},
    )
    async with serving(config, tmp_path) as router:
        host, _, port = json.loads((tmp_path / "ready.json").read_text())["listeners"][0].rpartition(":")
        clients = [await loop.create_datagram_endpoint(Answers, remote_addr=(host, int(port))) for _ in range(8)]
        for word in (b"before", b"after", b"at last"):
            for transport, _ in clients:
                transport.sendto(word)
            await eventually(partial(_all_got, word, [answers for _, answers in clients]))
            if word != b"at last":
                await router.reload(config)
        status = await router.status_when(lambda status: status["draining_generations"] == 0)
        assert status["causes"] == {}
        for transport, answers in clients:
            assert answers.received == [b"before", b"after", b"at last"]
            transport.close()
        assert "Traceback" not in router.log
    backend.close()

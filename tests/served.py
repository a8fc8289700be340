"""`smartlb serve` as a user starts it: real processes, found by their ready file and watched through the admin API."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import yaml

Status = dict[str, Any]


def configuration(backends: list[Any], pool: Mapping[str, Any] | None = None, **rest: Any) -> dict[str, Any]:
    """A configuration with one pool, on ports that the system chooses."""
    return {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "admin": {"bind": "127.0.0.1:0"},
        "pools": {"web": {"backends": backends, "ejection": None, **(pool or {})}},
        "workers": 2,
        "shutdown_s": 10,
        **rest,
    }


class Served:
    """A router that runs.

    Attributes:
        process: the supervisor.
        listener, admin: HOST:PORT.
        file: the configuration.
    """

    def __init__(self, process: asyncio.subprocess.Process, ready: Mapping[str, Any], log: Path, file: Path) -> None:
        self.process = process
        self.file = file
        self.listener: str = ready["listeners"][0]
        self.admin: str = ready["admin"]
        self._log = log

    @property
    def url(self) -> str:
        return f"http://{self.listener}/"

    @property
    def log(self) -> str:
        """All that its processes have logged."""
        return self._log.read_text()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection to the listener."""
        host, _, port = self.listener.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def status(self) -> Status:
        """`GET /status`."""
        async with aiohttp.ClientSession() as session, session.get(f"http://{self.admin}/status") as response:
            status: Status = await response.json()
            return status

    async def status_when(self, holds: Callable[[Status], object], within_s: float = 20.0) -> Status:
        """The first status for which `holds` is true; fails the test when there is none in time."""
        give_up_s = monotonic() + within_s
        while not holds(status := await self.status()):
            assert monotonic() < give_up_s, f"not in time: {json.dumps(status)}\n{self.log}"
            await asyncio.sleep(0.02)
        return status

    async def post(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and answer of the admin API."""
        async with aiohttp.ClientSession() as session, session.post(f"http://{self.admin}{path}") as response:
            return response.status, await response.json()

    def rewrite(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration file."""
        self.file.write_text(yaml.safe_dump(dict(config)))

    async def reload(self, config: Mapping[str, Any]) -> None:
        """Replace the configuration file, and have it applied."""
        self.rewrite(config)
        status, answer = await self.post("/reload")
        assert (status, answer["reloaded"]) == (200, True), f"{answer}\n{self.log}"

    async def stopped(self, number: signal.Signals = signal.SIGTERM, within_s: float = 20.0) -> int:
        """Signal the supervisor; returns its exit status."""
        self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), within_s)


_WITH_OPEN_FILES = """
import os, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (limit // 2, limit))
os.execv(sys.executable, [sys.executable, "-m", "smartlb", *sys.argv[2:]])
"""


async def spawn(*arguments: str | Path, log: Path, open_files: int | None = None) -> asyncio.subprocess.Process:
    """Start `smartlb` with arguments; standard output and error go to `log`, and it may have so many files open."""
    started = ["-m", "smartlb"] if open_files is None else ["-c", _WITH_OPEN_FILES, str(open_files)]
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            sys.executable, *started, *map(str, arguments), stdout=out, stderr=out, process_group=0
        )


@asynccontextmanager
async def serving(config: Mapping[str, Any], directory: Path, open_files: int | None = None) -> AsyncIterator[Served]:
    """Run `smartlb serve` on a configuration until the block ends."""
    file, ready_file, log = directory / "smartlb.yaml", directory / "ready.json", directory / "log"
    file.write_text(yaml.safe_dump(dict(config)))
    process = await spawn("serve", file, "--ready-file", ready_file, "--for-s", "120", log=log, open_files=open_files)
    try:
        give_up_s = monotonic() + 30
        while not ready_file.exists():
            assert process.returncode is None, log.read_text()
            assert monotonic() < give_up_s, log.read_text()
            await asyncio.sleep(0.02)
        yield Served(process, json.loads(ready_file.read_text()), log, file)
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 15)
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
                raise

"""smartlb and its backends as real processes, for benchmarks that disturb them or run them for long."""

import asyncio
import contextlib
import json
import os
import signal
import ssl
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from types import MappingProxyType
from typing import Any

import yaml

from benchmarks.rig import certificate
from benchmarks.rig.processes import LOW_PRIORITY, BenchmarkError, Server, free_address
from benchmarks.rig.reachable import await_listener
from benchmarks.rig.traffic import Traffic

Json = dict[str, Any]

_ROOT = {"PYTHONPATH": str(Path(__file__).parents[2])}
_START_S = 30.0
_ANSWER_S = 5.0


class Origin:
    """A backend that can be killed and started again at the same address.

    Args:
        name: in the router's configuration.
        folder: for what it prints; is made.
        longest_s: after which it ends by itself.

    Attributes:
        name: in the router's configuration.
        address: HOST:PORT.
        running: it does.
    """

    def __init__(self, name: str, folder: Path, longest_s: float) -> None:
        self.name = name
        self.address = free_address()
        self.running = False
        self._folder = folder
        self._longest_s = longest_s
        folder.mkdir()

    def start(self) -> None:
        """Start it; `await_ready` says when it serves.

        To be called from the main thread: the process ends with the thread that has started it.
        """
        command = [sys.executable, "-m", "benchmarks.rig.origin", self.address, "--for-s", f"{self._longest_s:g}"]
        self._server = Server(command, self._folder, None, _ROOT)
        self.running = True

    def await_ready(self) -> None:
        """Wait until it takes connections."""
        await_listener(self._server, partial(str, self.address))

    def lower_priority(self) -> None:
        """Let others have the processor first."""
        os.setpriority(os.PRIO_PROCESS, self._server.pid, LOW_PRIORITY)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self._server.pid, number)

    def stop(self, *, now: bool = False) -> None:
        """End it, by force if need be; at once with `now`."""
        if self.running:
            self.running = False
            if now:
                self.signal(signal.SIGKILL)
            else:
                with contextlib.suppress(ProcessLookupError):
                    self.signal(signal.SIGCONT)
            self._server.stop()


class Router:
    """`smartlb serve`, seen from outside.

    Attributes:
        pid: of the supervisor.
        plain, secure: HOST:PORT of the listeners, the second with TLS.
        admin: of the admin API.
    """

    def __init__(self, server: Server, ready: Json, file: Path, config: Json) -> None:
        self.pid = server.pid
        self.plain, self.secure = (str(address) for address in ready["listeners"])
        self.admin = str(ready["admin"])
        self._server = server
        self._file = file
        self._config = config
        self._reloads = 0

    @property
    def output(self) -> str:
        """The end of what its processes have logged."""
        return self._server.last_words

    async def status(self) -> Json:
        """`GET /status`."""
        return await asyncio.to_thread(self._ask, "GET", "/status")

    async def status_when(self, holds: Any, within_s: float) -> Json | None:
        """The first status for which `holds` is true; None where there is none in time."""
        until_s = monotonic() + within_s
        while monotonic() < until_s:
            with contextlib.suppress(OSError):
                if holds(status := await self.status()):
                    return status
            await asyncio.sleep(0.02)
        return None

    async def post(self, path: str) -> Json:
        """Ask the admin API for something."""
        return await asyncio.to_thread(self._ask, "POST", path)

    def reload(self) -> None:
        """Change the configuration file, in a place that matters to nobody, and send SIGHUP."""
        self._reloads += 1
        self._config["limits"]["header_count"] = 100 + self._reloads % 2
        self._file.write_text(yaml.safe_dump(self._config))
        os.kill(self.pid, signal.SIGHUP)

    def _ask(self, method: str, path: str) -> Json:
        request = urllib.request.Request(f"http://{self.admin}{path}", method=method)
        with urllib.request.urlopen(request, timeout=_ANSWER_S) as answer:
            found: Json = json.load(answer)
            return found


class Site:
    """A router in front of origins, and the means to load them.

    Attributes:
        router: the one.
        origins: its backends.
        calm: the one for `/health` alone; None where there is none.
    """

    def __init__(self, router: Router, origins: list[Origin], trust: ssl.SSLContext, calm: Origin | None) -> None:
        self.calm = calm
        self.router = router
        self.origins = origins
        self._trust = trust

    async def learned(self) -> None:
        """Wait until every worker uses what the learner says.

        Raises:
            BenchmarkError: it does not.
        """
        if (
            await self.router.status_when(
                lambda status: all(worker["snapshot_version"] for worker in status["workers"]), _START_S
            )
            is None
        ):
            raise BenchmarkError(f"the learner gave no snapshot within {_START_S:g} s: {self.router.output}")

    def traffic(self, rate_per_s: float, seed: int) -> Traffic:
        """A load for it."""
        return Traffic(self.router.plain, self.router.secure, self._trust, rate_per_s, seed)


def configuration(
    folder: Path, origins: list[Origin], workers: int, shutdown_s: float, limits: Mapping[str, int]
) -> Json:
    """What the router is told; long connections have a pool of their own, which allows them to last."""
    cert, key, _ = certificate.issue(folder)
    backends = [{"name": origin.name, "address": origin.address} for origin in origins]
    check = {"path": "/health", "interval_s": 0.25, "timeout_s": 0.25, "fall": 2, "rise": 1}
    return {
        "listeners": [
            {"bind": "127.0.0.1:0"},
            {"bind": "127.0.0.1:0", "tls": {"certificates": [{"certificate": str(cert), "key": str(key)}]}},
        ],
        "pools": {
            "web": {
                "backends": backends,
                "policy": "learned",
                "health_check": check,
                "ejection": {"base_ejection_s": 0.5, "max_ejection_s": 1},
                "retries": {
                    "max_attempts": 3,
                    "retry_on": ["connect_failed", "connect_timeout", "reset", "malformed", "response_timeout"],
                    "attempt_timeout_s": 0.25,
                    "budget_min": 20,
                },
            },
            "streams": {
                "backends": backends,
                "policy": "least_connections",
                "health_check": check,
                "timeouts": {"request_s": None},
            },
        },
        "routes": [
            {"name": "events", "match": {"path_prefix": "/events"}, "pool": "streams"},
            {"name": "socket", "match": {"path_prefix": "/socket"}, "pool": "streams"},
            {"name": "all", "pool": "web"},
        ],
        "request_classes": [{"name": "upload", "match": {"methods": ["POST"]}}],
        "workers": workers,
        "shutdown_s": shutdown_s,
        "limits": dict(limits),
        "admin": {"bind": "127.0.0.1:0"},
        "access_log": {"path": str(folder / "access.jsonl")},
    }


@contextlib.contextmanager
def site(
    longest_s: float,
    *,
    backends: int = 4,
    workers: int = 2,
    shutdown_s: float = 2.0,
    calm: bool = False,
    limits: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[Site]:
    """Run origins and a router until the block ends, or for `longest_s` at most.

    Args:
        longest_s: after which router and origins end by themselves.
        backends: how many origins.
        workers: of the router.
        shutdown_s: of its configuration.
        calm: whether the last origin serves nothing but `/health`, and nobody else does.
        limits: of its configuration, where they are not as they come.

    Raises:
        BenchmarkError: something does not start.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="smartlb-site-")))
        origins = [Origin(f"b{number + 1}", folder / f"b{number + 1}", longest_s) for number in range(backends)]
        for origin in origins:
            stack.callback(origin.stop)
            origin.start()
        for origin in origins:
            origin.await_ready()
        config = configuration(folder, origins[:-1] if calm else origins, workers, shutdown_s, limits)
        if calm:
            config["pools"]["calm"] = {"backends": [origins[-1].address]}
            config["routes"].insert(0, {"name": "calm", "match": {"path_prefix": "/health"}, "pool": "calm"})
        file, ready_file = folder / "smartlb.yaml", folder / "ready.json"
        file.write_text(yaml.safe_dump(config))
        command = [sys.executable, "-m", "smartlb", "serve", str(file), "--ready-file", str(ready_file)]
        server = stack.enter_context(Server([*command, "--for-s", f"{longest_s:g}"], folder, None, _ROOT))
        await_listener(server, lambda: _ready(ready_file).get("admin"))
        trust = ssl.create_default_context(cafile=folder / "authority.pem")
        yield Site(Router(server, _ready(ready_file), file, config), origins, trust, origins[-1] if calm else None)


def _ready(file: Path) -> Json:
    try:
        found: Json = json.loads(file.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return found

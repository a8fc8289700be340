"""smartlb itself, started as anyone would start it: `smartlb serve` with a configuration file."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import yaml

from simulator.demo.fleet import Server
from simulator.demo.processes import DemoError, service

POOL = "fleet"
_READY_S = 15.0


@dataclass(frozen=True, slots=True)
class Router:
    """A router that runs: where it listens for requests, and where for questions about itself."""

    listener: str
    admin: str
    process: asyncio.subprocess.Process


def configuration(policy: str, servers: Iterable[Server], classes: Sequence[str], weighted: bool = False) -> str:
    """The YAML for one policy's run; nothing but the policy's name differs from run to run.

    Args:
        policy: its name.
        servers: the backends.
        classes: names of the request classes.
        weighted: whether backends have their capacity for a weight, which an operator has to know.
    """
    config = {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "admin": {"bind": "127.0.0.1:0"},
        "workers": 1,
        "shutdown_s": 1,
        "request_classes": [{"name": name, "match": {"headers": {"x-class": name}}} for name in classes],
        "pools": {
            POOL: {
                "policy": policy,
                "backends": [_backend(server, weighted) for server in servers],
                "health_check": {"path": "/health", "interval_s": 1},
                "ejection": {"consecutive_failures": 5},
            }
        },
    }
    return yaml.safe_dump(config, sort_keys=False)


def _backend(server: Server, weighted: bool) -> dict[str, Any]:
    backend = {"name": server.spec.name, "address": server.address}
    return {**backend, "weight": server.spec.capacity} if weighted else backend


@asynccontextmanager
async def running(config: Path, ready_file: Path, log: IO[Any], longest_s: float) -> AsyncIterator[Router]:
    """Start `smartlb serve` and wait until it is ready; it stops with the block, or after `longest_s` at the latest.

    Raises:
        DemoError: it did not come up.
    """
    command = [sys.executable, "-m", "smartlb", "serve", str(config), "--ready-file", str(ready_file)]
    command += ["--for-s", f"{longest_s:g}"]
    async with service(command, log) as process:
        for _ in range(round(_READY_S / 0.05)):
            if ready_file.exists():
                break
            if process.returncode is not None:
                raise DemoError(f"`smartlb serve {config}` ended with status {process.returncode}")
            await asyncio.sleep(0.05)
        else:
            raise DemoError(f"`smartlb serve {config}` was not ready after {_READY_S:g} s")
        ready = json.loads(ready_file.read_text())
        yield Router(ready["listeners"][0], ready["admin"], process)

"""The demo's fleet: what each server is, and what they can carry together."""

import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import IO, Any

from simulator.demo.processes import child

AFFINITY = 4.0
"""How much faster the specialised servers are at the class that they suit."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One server of the fleet.

    Attributes:
        name: unique in the fleet.
        cores: requests served at once; more wait in one FIFO queue.
        speed: work done in a unit of time by one core; 1.0 takes `x-work-ms` as it is.
        specialised: whether one class of requests runs `AFFINITY` times faster here.
    """

    name: str
    cores: int
    speed: float
    specialised: bool = False

    @property
    def capacity(self) -> float:
        """Work done in a unit of time by all cores, for classes without affinity."""
        return self.cores * self.speed

    def __str__(self) -> str:
        return f"{self.cores}×{self.speed:g}{'+' if self.specialised else ''}"


FLEET = (
    ServerSpec("b1", cores=8, speed=0.5),
    ServerSpec("b2", cores=3, speed=1.0, specialised=True),
    ServerSpec("b3", cores=2, speed=1.75),
    ServerSpec("b4", cores=2, speed=2.0),
    ServerSpec("b5", cores=1, speed=2.0, specialised=True),
    ServerSpec("b6", cores=4, speed=0.75),
    ServerSpec("b7", cores=2, speed=1.25, specialised=True),
    ServerSpec("b8", cores=3, speed=1.25),
)
"""Fast servers with few cores, slow ones with many: no one number ranks them. Round robin, which gives each
the same, copes while all of them are well."""


def highest_load(fleet: Sequence[ServerSpec], ordinary: float, affine: float) -> float:
    """The work a second that the fleet can carry if every request is placed perfectly.

    Affine work goes to the specialised servers, where it takes 1 / `AFFINITY` of the time, as far as they can
    take it; all that is left carries the rest.

    Args:
        fleet: the servers.
        ordinary: share of the work that is of classes without affinity.
        affine: share of the work that is of the affine class; the shares sum to 1.
    """
    total = sum(server.capacity for server in fleet)
    specialised = sum(server.capacity for server in fleet if server.specialised)
    load = total / (ordinary + affine / AFFINITY)
    if load * affine / AFFINITY <= specialised:
        return load
    # More affine work than the specialised servers can take: the rest runs at ordinary speed elsewhere.
    return total + specialised * (AFFINITY - 1)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that runs."""

    spec: ServerSpec
    port: int

    @property
    def address(self) -> str:
        """``HOST:PORT``."""
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def running(
    fleet: Sequence[ServerSpec], affine_class: str, seed: int, lifetime_s: float, log: IO[Any]
) -> AsyncIterator[Mapping[str, Server]]:
    """Start the fleet, one process a server; all of them end with the block.

    Args:
        fleet: what to start.
        affine_class: the class at which specialised servers are faster.
        seed: of the servers' random draws.
        lifetime_s: after which a server ends by itself, whatever happens.
        log: takes what the servers write to standard error.
    """
    async with AsyncExitStack() as stack:
        processes = [
            await stack.enter_async_context(child(_command(spec, affine_class, seed + at, lifetime_s), log))
            for at, spec in enumerate(fleet)
        ]
        yield {
            spec.name: Server(spec, int((await process.report())["port"]))
            for spec, process in zip(fleet, processes, strict=True)
        }


def _command(spec: ServerSpec, affine_class: str, seed: int, lifetime_s: float) -> list[str]:
    command = [sys.executable, "-m", "simulator.demo.backend", "--name", spec.name]
    command += ["--cores", str(spec.cores), "--speed", str(spec.speed)]
    if spec.specialised:
        command += ["--class-speed", f"{affine_class}={spec.speed * AFFINITY}"]
    return [*command, "--seed", str(seed), "--lifetime", str(lifetime_s)]

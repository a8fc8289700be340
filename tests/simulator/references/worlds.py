"""Worlds for the tests of references: as the kernel keeps them, at rest or random; and picks of compiled code."""

from array import array
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from simulator.kernel.calling import prepare
from simulator.kernel.state import LATEST, World, empty_world
from simulator.references.reference import Reference
from simulator.references.registry import REFERENCES
from smartlb.core.view import PoolView
from smartlb.policies.policy import PolicyOptions
from tests.policies.pools import members


def options_of(name: str, **given: Any) -> PolicyOptions:
    return REFERENCES[name].options.model_validate(given)


def memory_of(name: str, weight: Sequence[float], **given: Any) -> Any:
    """A reference's memory before the first pick."""
    return REFERENCES[name].remember(members(weight), options_of(name, **given))


def world_of(backends: int, classes: int = 1, slots: int = 1) -> World:
    """Idle backends of speed 1 with as many cores as slots, for interpreted code."""
    world = empty_world(backends, classes, backends * slots)
    rows = world.servers
    rows["slots"] = rows["cores"] = slots
    rows["room"] = 1000
    rows["heap"] = np.arange(backends) * slots
    rows["speed"] = rows["rate"] = rows["tail_factor"] = 1.0
    world.work_s[0] = 1.0
    return interpreted(world)


def interpreted(world: World) -> World:
    """The same world; its rows' fields are attributes, as they are for compiled code."""
    return world._replace(servers=world.servers.view(np.recarray))


def random_world(random: np.random.Generator, backends: int, classes: int) -> World:
    """Backends of all kinds in all conditions, at time 0."""
    slots = random.integers(1, 9, backends)
    world = empty_world(backends, classes, int(slots.sum()))
    rows = world.servers
    rows["slots"] = slots
    rows["cores"] = np.where(random.random(backends) < 0.5, slots, random.integers(1, 9, backends))
    rows["growth"] = np.where(random.random(backends) < 0.7, 0.0, 0.1)
    rows["heap"] = np.cumsum([0, *slots[:-1]])
    world.speed[:] = random.choice([0.25, 1.0, 2.0], (backends, classes))
    world.lane_v[:] = random.random(len(world.lane_v))
    for at in range(backends):
        begin, end = rows["heap"][at], rows["heap"][at] + slots[at]
        world.heap_v[begin:end] = np.sort(random.random(slots[at]))
    change(random, world)
    return world


def change(random: np.random.Generator, world: World) -> None:
    """Let much happen."""
    rows, backends = world.servers, len(world.servers)
    rows["serving"] = random.integers(0, rows["slots"] + 1)
    rows["waiting"] = np.where(rows["serving"] == rows["slots"], random.integers(0, 4, backends), 0)
    rows["room"] = np.where(random.random(backends) < 0.9, 100, rows["serving"])
    rows["speed"] = random.choice([0.0, 0.5, 1.0], backends, p=[0.1, 0.2, 0.7])
    rows["rate"] = rows["speed"]
    rows["round_trip_s"] = random.choice([0.0, 0.001, 0.3], backends)
    for field in ("crashed", "hanging"):
        rows[field] = random.random(backends) < 0.05
    rows["fail"] = np.where(random.random(backends) < 0.9, 0.0, 0.3)
    rows["tail"] = np.where(random.random(backends) < 0.9, 0.0, 0.3)
    rows["tail_factor"] = 3.0
    rows["utilisation"] = random.choice([0.0, 0.3, 1.0], backends)
    rows["rate_s"] = random.choice([0.0, 3.0, 7.0], backends)
    rows["error_rate_s"] = rows["rate_s"] * random.choice([0.0, 0.5], backends)
    rows["latest"] += random.integers(0, 2 * LATEST, backends)
    world.latest_s[:] = random.random(world.latest_s.shape)
    world.latest_met[:] = random.integers(0, 80, world.latest_met.shape)
    world.work_s[0] = random.random() + 0.001
    world.report[:] = random.integers(0, 9), random.random()


def as_arrays(pool: PoolView) -> PoolView:
    """A pool as compiled code gets it."""
    types: list[Any] = [np.int32, np.float64, np.int32, *[np.float64] * 5]
    parts: list[Any] = [np.array(part, kind) for part, kind in zip(pool[:-1], types, strict=True)]
    return PoolView(*parts)._replace(sight=pool.sight)


@numba.njit
def _pick(call: Any, view: Any, world: Any, memory: Any, layout: Any, of: Any, key: Any, now_s: Any, draws: Any) -> Any:
    return call(view, world, memory, layout, of, key, now_s, draws)


@numba.njit
def _observe(
    call: Any, world: Any, memory: Any, layout: Any, backend: Any, now_s: Any, latency_s: Any, failed: Any
) -> None:
    call(world, memory, layout, backend, now_s, latency_s, failed)


class Compiled:
    """A reference, compiled, with the memory of one router."""

    def __init__(self, reference: Reference, options: Any, weight: Sequence[float]) -> None:
        self._like = reference.remember(members(weight), options)
        self._calls = prepare(reference, options, members(weight), 1)

    def pick(self, pool: PoolView, world: World, of: int, key: int, now_s: float, draws: Sequence[float]) -> int:
        calls = self._calls
        drawn = np.array(draws, np.float64)
        return int(
            _pick(calls.pick_knowing, pool, world, calls.memory[0], calls.layout, of, np.uint64(key), now_s, drawn)
        )

    def observe(self, world: World, backend: int, now_s: float, latency_s: float, failed: bool) -> None:
        calls = self._calls
        _observe(calls.observe_knowing, world, calls.memory[0], calls.layout, backend, now_s, latency_s, failed)

    def memory(self) -> list[Any]:
        """Every part of the memory, as lists and numbers."""
        calls = self._calls
        parts = []
        for at, like in enumerate(self._like):
            kind = like.typecode if isinstance(like, array) else np.array([like]).dtype
            part = calls.memory[0][calls.layout[at] : calls.layout[at + 1]].view(kind)
            parts.append(part if isinstance(like, array) else part[0].item())
        return listed(parts)


def listed(memory: Any) -> list[Any]:
    return [part.tolist() if isinstance(part, array | np.ndarray) else part for part in memory]

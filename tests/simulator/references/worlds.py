"""Worlds for the tests of references: as the kernel keeps them, at rest or random."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from simulator.kernel.state import LATEST, World, empty_world
from simulator.references.registry import REFERENCES
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

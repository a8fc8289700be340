"""A fleet in simulated time: first-come-first-served backends with cores, Poisson arrivals, the real policies."""

import heapq
import random
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from smartlb.core.outcome import Outcome
from smartlb.core.pool import PoolView
from smartlb.core.snapshot import Snapshot
from smartlb.core.telemetry import RECORD, Records
from smartlb.learning.learner import Learner, LearnerSettings
from smartlb.policies.policy import Members, Policy
from smartlb.policies.registry import POLICIES

TICK_S = 0.2
REFUSAL_S = 0.001
DEFAULTS = LearnerSettings()


@dataclass(frozen=True)
class Server:
    """A backend; requests are served in the order in which they come, on the first free core."""

    cores: int = 1
    speed: Sequence[float] = (1.0,)  # by class
    slow: tuple[float, float, float] = (0.0, 0.0, 1.0)  # from, to, factor on the service time
    failing: tuple[float, float] = (0.0, 0.0)  # from, to: answers 500 at once


@dataclass(frozen=True)
class Run:
    """Every request of a run, in order of completion, and the snapshots."""

    records: Records
    snapshots: list[Snapshot]
    learner: Learner

    @property
    def ok(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.records["status"] == 200)

    @property
    def latency_s(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.records["total_s"][self.ok], dtype=np.float64)

    def p99_s(self) -> float:
        return float(np.percentile(self.latency_s, 99))

    def share(self, backend: int, start_s: float, end_s: float) -> float:
        """A backend's share of the requests that arrived in a time."""
        arrived = self.records["arrived_s"]
        during = (arrived >= start_s) & (arrived < end_s)
        return float((self.records["backend"][during] == backend).mean())


def simulate(
    servers: Sequence[Server],
    rate: float,
    requests: int,
    *,
    policy: str = "learned",
    options: Mapping[str, float] = MappingProxyType({}),
    mix: Sequence[float] = (1.0,),
    mean_s: Sequence[float] = (0.02,),
    settings: LearnerSettings = DEFAULTS,
    seed: int = 1,
    draw_service: Callable[[random.Random], float] = lambda rng: rng.expovariate(1.0),
) -> Run:
    """Send `requests` at `rate` a second; class k is drawn by `mix` and takes `mean_s[k]` at speed 1."""
    size, classes = len(servers), len(mix)
    chosen: Policy = POLICIES[policy]
    chosen_options = chosen.options.model_validate(dict(options))
    members = Members([f"b{at}" for at in range(size)], [1.0] * size)
    memory = chosen.remember(members, chosen_options)
    drawn = chosen.draws(chosen_options)
    learner = Learner([range(size)], classes, settings)
    arrivals, kinds, services, picks = (random.Random(f"{name}{seed}") for name in ("a", "k", "s", "p"))
    in_flight = array("i", [0] * size)
    eligible, barred, weight = list(range(size)), array("d", [0.0] * size), array("d", [1.0] * size)
    free = [[0.0] * server.cores for server in servers]
    events: list[tuple[float, int, int, tuple[object, ...]]] = []
    finished: list[tuple[object, ...]] = []
    batches: list[Records] = []
    snapshots: list[Snapshot] = []

    def view(snapshot: Snapshot) -> PoolView:
        draw = array("d", [total for row in snapshot.weight.tolist() for total in accumulate(row)])
        base_s, slope_s = array("d", snapshot.base_s.ravel()), array("d", snapshot.slope_s.ravel())
        return PoolView(eligible, barred, in_flight, weight, draw, base_s, slope_s)

    def tick(now_s: float) -> PoolView:
        records = np.array(finished, dtype=RECORD)
        finished.clear()
        batches.append(records)
        if policy != "learned":
            records = records[:0]
        snapshots.append(learner.update(records, now_s, np.array(in_flight, dtype=np.float64)))
        return view(snapshots[-1])

    def finish_until(now_s: float) -> None:
        while events and events[0][0] <= now_s:
            _, _, backend, record = heapq.heappop(events)
            in_flight[backend] -= 1
            finished.append(record)

    pool = tick(0.0)
    now_s, next_tick_s = 0.0, TICK_S
    for serial in range(requests):
        now_s += arrivals.expovariate(rate)
        while next_tick_s <= now_s:
            finish_until(next_tick_s)
            pool = tick(next_tick_s)
            next_tick_s += TICK_S
        finish_until(now_s)
        kind = kinds.choices(range(classes), mix)[0]
        at = chosen.pick(pool, memory, kind, 0, now_s, [picks.random() for _ in range(drawn)])
        server = servers[at]
        service_s = mean_s[kind] / server.speed[kind % len(server.speed)] * draw_service(services)
        if server.slow[0] <= now_s < server.slow[1]:
            service_s *= server.slow[2]
        if server.failing[0] <= now_s < server.failing[1]:
            end_s, status = now_s + REFUSAL_S, 500
        else:
            core = heapq.heappop(free[at])
            end_s, status = max(now_s, core) + service_s, 200
            heapq.heappush(free[at], end_s)
        taken_s = end_s - now_s
        record = (now_s, 0.0, taken_s, taken_s, in_flight[at], 0, 0, at, 0, kind, status, Outcome.COMPLETE, 1)
        in_flight[at] += 1
        heapq.heappush(events, (end_s, serial, at, record))
    finish_until(float("inf"))
    tick(next_tick_s)
    return Run(np.concatenate(batches), snapshots, learner)

"""How soon the learned policy notices that a backend slows down, is well again, or has just come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.learning.goals import Row, shown
from simulator.api import run
from simulator.result import Run, failed, latency_s
from simulator.scenario import Scenario
from smartlb.core.record import NO_BACKEND

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

RATE: Final = 1000.0
BACKENDS: Final = 10
CORES: Final = 2
WORK_S: Final = 0.014
"""Mean work of a request: ten backends of two cores are busy to 70 %."""

CHANGED: Final = f"server-{BACKENDS}"
"""The backend to which it happens."""

FACTOR: Final = 4.0

WINDOW_S: Final = 1.0
"""Shares are of the requests sent within this time; over twenty seeds a slow backend gets over a hundred in it."""

WINDOW_STEP_S: Final = 0.1

TOLERANCE: Final = 0.2
"""A share is right that is no further than this from the optimum, as a share of it."""

HOLD_S: Final = 3.0
"""For so long it has to be right to count as having settled."""

POLICIES: Final = ("learned", "clairvoyant")


@dataclass(frozen=True, slots=True)
class Times:
    """When something happens.

    Attributes:
        warmup_s: nothing counts before.
        changes_s: a backend slows down, or comes.
        recovers_s: it is well again; a backend that came has no such time.
        ends_s: nothing comes any more.
        steady_s: how long the last part of each phase is in which a policy counts as settled.
    """

    warmup_s: float = 10.0
    changes_s: float = 30.0
    recovers_s: float = 60.0
    ends_s: float = 90.0
    steady_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of all seeds of a policy, one after the other.

    Attributes:
        seeds: how many.
        sent_s: when requests were sent to a backend.
        to_changed: which of them to the one that changes.
        arrived_s: when requests came that did not fail.
        latency_ms: of these.
        at_changed: which of these the one that changes served.
        speed: of that one, as a share of its own, from when on.
    """

    seeds: int
    sent_s: Floats
    to_changed: Mask
    arrived_s: Floats
    latency_ms: Floats
    at_changed: Mask
    speed: Sequence[tuple[float, float]]

    def share(self, from_s: float, to_s: float) -> float:
        """Of the requests sent in a time, how many went to the backend that changes."""
        sent = (self.sent_s >= from_s) & (self.sent_s < to_s)
        return float(self.to_changed[sent].mean()) if sent.any() else 0.0

    def p99_ms(self, from_s: float, to_s: float, changed_only: bool = False) -> float | None:
        """Of the requests that came in a time; None where there were none."""
        came = (self.arrived_s >= from_s) & (self.arrived_s < to_s)
        if changed_only:
            came &= self.at_changed
        return float(np.percentile(self.latency_ms[came], 99.0)) if came.any() else None

    def settles_s(self, at_s: float, until_s: float, optimum: float) -> float:
        """Seconds from `at_s` to the end of the first window since which the share is right for `HOLD_S`."""
        begins_s = np.arange(at_s, until_s - WINDOW_S, WINDOW_STEP_S)
        shares = np.array([self.share(begin_s, begin_s + WINDOW_S) for begin_s in begins_s.tolist()])
        right = np.abs(shares / optimum - 1.0) <= TOLERANCE if optimum else np.zeros(len(shares), bool)
        held = round(HOLD_S / WINDOW_STEP_S)
        for first in range(len(right) - held):
            if right[first : first + held].all():
                return float(begins_s[first] + WINDOW_S - at_s)
        return inf

    def most_load(self, from_s: float, to_s: float) -> float:
        """Most work that was sent within a window to the backend that changes, over what it can do in it."""
        found = 0.0
        for begin_s in np.arange(from_s, to_s, WINDOW_STEP_S).tolist():
            middle_s = begin_s + WINDOW_S / 2.0
            speed = next((speed for at_s, speed in reversed(self.speed) if at_s <= middle_s), 1.0)
            sent = (self.sent_s >= begin_s) & (self.sent_s < begin_s + WINDOW_S) & self.to_changed
            work_s = float(sent.sum()) / self.seeds * WORK_S
            found = max(found, work_s / (CORES * speed * WINDOW_S))
        return found


def scenario(times: Times, fault: Mapping[str, Any], ends_s: float) -> Scenario:
    """Equal backends, of which one changes."""
    return Scenario.model_validate(
        {
            "description": "One of ten backends changes.",
            "duration_s": ends_s,
            "warmup_s": times.warmup_s,
            "workload": {
                "classes": [
                    {"name": "request", "work": {"kind": "lognormal", "mean_ms": WORK_S * 1e3, "sigma": 0.8}},
                ]
            },
            "load": {"rate": RATE},
            "fleet": [{"name": "server", "count": BACKENDS, "cores": CORES}],
            "faults": [{**fault, "backends": [CHANGED]}],
        }
    )


def seen(of: Scenario, policy: str, seeds: int, jobs: int) -> Seen:
    """Run a policy with every seed."""
    from joblib import Parallel, delayed

    parts: list[Seen] = Parallel(n_jobs=jobs)(delayed(_seen)(of, policy, seed) for seed in range(seeds))
    columns = ("sent_s", "to_changed", "arrived_s", "latency_ms", "at_changed")
    return Seen(
        seeds=seeds,
        speed=parts[0].speed,
        **{column: np.concatenate([getattr(part, column) for part in parts]) for column in columns},
    )


def _seen(of: Scenario, policy: str, seed: int) -> Seen:
    found: Run = run(of, policy, seed, name="change")
    changed = found.backends.index(CHANGED)
    sent = found.log[found.log["backend"] != NO_BACKEND]
    served = found.requests[~failed(found.requests)]
    return Seen(
        seeds=1,
        sent_s=sent["arrived_s"] + sent["queued_s"],
        to_changed=sent["backend"] == changed,
        arrived_s=served["arrived_s"].copy(),
        latency_ms=latency_s(served) * 1e3,
        at_changed=served["backend"] == changed,
        speed=[(each.at_s, each.condition.speed) for each in found.changes if each.backend == changed],
    )


def slow_down(times: Times, seeds: int, jobs: int) -> list[Row]:
    """A backend slows down, stays slow, and recovers."""
    fault = {"kind": "slow", "factor": FACTOR, "starts_s": times.changes_s, "ends_s": times.recovers_s}
    of = scenario(times, fault, times.ends_s)
    learned, clairvoyant = (seen(of, policy, seeds, jobs) for policy in POLICIES)
    slow_s, well_s, end_s, steady_s = times.changes_s, times.recovers_s, times.ends_s, times.steady_s
    by_capacity = 1.0 / FACTOR / (BACKENDS - 1.0 + 1.0 / FACTOR)
    own, best = (each.share(well_s - steady_s, well_s) for each in (learned, clairvoyant))
    own_well, best_well = (each.share(end_s - steady_s, end_s) for each in (learned, clairvoyant))
    before_ms, steady_ms = learned.p99_ms(times.warmup_s, slow_s), learned.p99_ms(well_s - steady_s, well_s)
    at_first_ms = learned.p99_ms(slow_s, slow_s + 5.0)
    rows = [
        Row("slow.share", "share while slow, in the long run, %", 100.0 * own, f"last {steady_s:g} s"),
        Row("slow.share.clairvoyant", "... clairvoyant's, %", 100.0 * best, f"last {steady_s:g} s"),
        Row("slow.share.capacity", "... in proportion to what it can do, %", 100.0 * by_capacity),
    ]
    for from_s, to_s in ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 5.0), (5.0, 10.0)):
        share = learned.share(slow_s + from_s, slow_s + to_s)
        what = f"share {from_s:g} to {to_s:g} s after it slowed, over the long run's"
        over = f"{_ratio(share, best):.2f} of clairvoyant's long run"
        rows.append(Row(f"slow.share.{to_s:g}", what, _ratio(share, own), over))
    rows += [
        Row("slow.settles", "slowed: within 20 % of the long run after, s", learned.settles_s(slow_s, well_s, own)),
        Row("slow.settles.clairvoyant", "... of clairvoyant's, s", learned.settles_s(slow_s, well_s, best)),
        Row("slow.p99", "p99 of the first 5 s slow, over that before", _ratio(at_first_ms, before_ms)),
        Row("slow.p99.steady", "p99 slow in the long run, over that before", _ratio(steady_ms, before_ms)),
        Row(
            "recovered.settles",
            "recovered: within 20 % of the long run after, s",
            learned.settles_s(well_s, end_s, own_well),
            f"{own_well:.1%} of requests",
        ),
        Row(
            "recovered.settles.clairvoyant",
            "... of clairvoyant's, s",
            learned.settles_s(well_s, end_s, best_well),
            f"{best_well:.1%} of requests",
        ),
        Row(
            "recovered.p99",
            "p99 of the first 5 s recovered, over that before",
            _ratio(learned.p99_ms(well_s, well_s + 5.0), before_ms),
        ),
    ]
    return rows


def joining(times: Times, seeds: int, jobs: int) -> list[Row]:
    """A backend joins: one that is at its full speed at once, and one that has to warm up."""
    came_s, end_s = times.changes_s, times.recovers_s
    warm = {"kind": "away", "ends_s": came_s}
    cold = {"kind": "cold_start", "first_speed": 0.2, "warms_up_s": 5.0, "starts_s": came_s}
    rows = []
    for key, fault, name in (("joins", warm, "new"), ("joins.cold", cold, "new and cold")):
        of = scenario(times, fault, end_s)
        learned, clairvoyant = (seen(of, policy, seeds, jobs) for policy in POLICIES)
        before_ms = learned.p99_ms(times.warmup_s, came_s)
        first_ms = learned.p99_ms(came_s, came_s + 5.0)
        there_ms = learned.p99_ms(came_s, came_s + 5.0, changed_only=True)
        best_ms = clairvoyant.p99_ms(came_s, came_s + 5.0)
        fair = 1.0 / BACKENDS
        theirs = clairvoyant.settles_s(came_s, end_s, fair)
        rows += [
            Row(
                f"{key}.settles",
                f"{name}: within 20 % of its fair share after, s",
                learned.settles_s(came_s, end_s, fair),
                f"clairvoyant: {shown(theirs)}",
            ),
            Row(f"{key}.load", f"{name}: most work sent to it, over what it can do", learned.most_load(came_s, end_s)),
            Row(f"{key}.p99", f"{name}: p99 of the first 5 s, over that before", _ratio(first_ms, before_ms)),
            Row(f"{key}.p99.there", f"{name}: p99 of its own first 5 s, over that before", _ratio(there_ms, before_ms)),
            Row(
                f"{key}.p99.clairvoyant", f"{name}: p99 of the first 5 s, over clairvoyant's", _ratio(first_ms, best_ms)
            ),
        ]
    return rows


def _ratio(value: float | None, to: float | None) -> float:
    return inf if value is None or not to else value / to

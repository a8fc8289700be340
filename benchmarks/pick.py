"""What a pick costs, by policy and number of backends: ``python -m benchmarks.pick [--json OUT]``.

As the workers' compiled code calls it, and as Python does; in processor time, so that other processes do not count. The
rounds of all cases are interleaved, so that a slow spell of the machine meets them all; a figure is the mean of one
round, and min, median and max are over the rounds.

Some backends are barred when the pool is looked at; some are full: they reach their limit after that, so that what was
added up of them still stands.
"""

import argparse
import json
import random
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.compiled import CompiledPolicy
from smartlb.policies.policy import Members
from smartlb.policies.registry import POLICIES

BACKENDS = (10, 100, 1000)
CALLS = 500

GOALS_US = {10: 0.5, 1000: 3.0}
"""What a pick of the learned policy may cost at most, by number of backends."""

MOST_WITH_FULL = 1.1
"""What it may cost while some are full, times what it costs while none is."""

_APART = 0x9E3779B97F4A7C15
"""From one key to the next, as `CompiledPolicy.pick_often` has it."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in POLICIES},
    "url_hash, load_bound 1.25": ("url_hash", {"load_bound": 1.25}),
}
"""What is measured: a policy and its options under a label."""


def pool_view(backends: int, barred: int, chance: random.Random) -> PoolView:
    """A pool with a few requests in flight everywhere, `barred` of its backends not eligible."""
    out = set(chance.sample(range(backends), barred))
    eligible = [at for at in range(backends) if at not in out]
    weight = [chance.choice((1.0, 2.0, 4.0)) for _ in range(backends)]
    return PoolView(
        eligible=array("i", eligible),
        barred=array("d", [inf if at in out else 0.0 for at in range(backends)]),
        in_flight=array("i", [chance.randrange(8) for _ in range(backends)]),
        weight=array("d", weight),
        draw=array("d", accumulate(0.0 if at in out else weight[at] for at in range(backends))),
        explore=array("d", [0.0] * backends),
        base_s=array("d", [chance.uniform(0.01, 0.1) for _ in range(backends)]),
        slope_s=array("d", [chance.uniform(0.001, 0.01) for _ in range(backends)]),
    )


def fill(pool: PoolView, full: int, chance: random.Random) -> None:
    """So many backends reach their limit: the pool bars them in place."""
    for at in chance.sample(list(pool.eligible), full):
        pool.barred[at] = inf  # type: ignore[index]
        pool.eligible.remove(at)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table, and what is measured for it."""

    label: str
    backends: int
    barred: int
    full: int
    policy: CompiledPolicy
    pick_us: list[float] = field(default_factory=list)
    python_us: list[float] = field(default_factory=list)
    observe_us: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Add a round."""
        policy, now_s = self.policy, time.monotonic()
        key = len(self.pick_us) << 32
        keys = [(key + nth * _APART) % 2**64 for nth in range(CALLS)]

        def one_by_one() -> None:
            for each in keys:
                policy.pick(0, each, now_s)

        self.pick_us.append(_microseconds_per_call(lambda: policy.pick_often(CALLS, 0, key, now_s)))
        self.python_us.append(_microseconds_per_call(one_by_one))
        if policy.measures:
            at = key % self.backends
            self.observe_us.append(_microseconds_per_call(lambda: policy.observe_often(CALLS, at, now_s, 0.05)))


def _microseconds_per_call(calls: Callable[[], object]) -> float:
    start = time.thread_time()
    calls()
    return (time.thread_time() - start) / CALLS * 1e6


def case(label: str, backends: int, barred: int, full: int, seed: int = 0) -> Case:
    """The case of a label of `VARIANTS`."""
    name, given = VARIANTS[label]
    chance = random.Random(f"{seed} {backends} {barred}")
    pool = pool_view(backends, barred, chance)
    members = Members([f"backend-{at}" for at in range(backends)], pool.weight)
    policy = POLICIES[name].made(members, POLICIES[name].options.model_validate(given), seed)
    policy.see(pool)
    for at in pool.eligible:
        policy.observe(at, 0.0, chance.uniform(0.01, 0.2), False)
    fill(pool, full, chance)
    return Case(label, backends, barred, full, policy)


def all_cases() -> Iterator[Case]:
    """Every line of the table."""
    for label in VARIANTS:
        for backends in BACKENDS:
            for barred, full in ((0, 0), (backends // 10, 0), (0, backends // 10)):
                yield case(label, backends, barred, full)


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {name: round(of(values), 4) for name, of in (("min", min), ("median", median), ("max", max))}


def report(cases: Sequence[Case]) -> dict[str, Any]:
    """The measurements, in microseconds; `observe_us` is None for policies that do not measure."""
    rows = [
        {
            "policy": case.label,
            "backends": case.backends,
            "barred": case.barred,
            "full": case.full,
            "pick_us": _spread(case.pick_us),
            "python_us": _spread(case.python_us),
            "observe_us": _spread(case.observe_us),
        }
        for case in cases
    ]
    return {"rows": rows, "goals": goals(rows)}


def goals(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the learned policy should cost at most, and costs, by the medians."""
    costs = {
        (row["backends"], row["full"]): row["pick_us"]["median"]
        for row in rows
        if row["policy"] == "learned" and not row["barred"]
    }
    judged = [(f"a pick among {size}, microseconds", costs[size, 0], goal) for size, goal in GOALS_US.items()]
    judged += [
        (f"a pick among {size}, {size // 10} of them full, times one with none full", with_full, MOST_WITH_FULL)
        for size in GOALS_US
        for with_full in [round(costs[size, size // 10] / costs[size, 0], 3)]
    ]
    return [{"name": name, "value": value, "goal": goal, "reached": value <= goal} for name, value, goal in judged]


def table(found: dict[str, Any]) -> str:
    """The report for a terminal."""
    heads = ("backends", 9), ("barred", 8), ("full", 8), ("min", 9), ("median", 9), ("max", 9), ("from Python", 13)
    lines = [f"{'µs per pick':<30}" + "".join(f"{head:>{width}}" for head, width in (*heads, ("observe", 9)))]
    for row in found["rows"]:
        pick, observe = row["pick_us"], row["observe_us"]
        lines.append(
            f"{row['policy']:<30}{row['backends']:>9}{row['barred']:>8}{row['full']:>8}"
            f"{pick['min']:>9.3f}{pick['median']:>9.3f}{pick['max']:>9.3f}{row['python_us']['median']:>13.3f}"
            f"{format(observe['median'], '.3f') if observe else '-':>9}"
        )
    lines += [
        f"{'reached' if goal['reached'] else 'MISSED'}: {goal['name']}: {goal['value']:g}, at most {goal['goal']:g}"
        for goal in found["goals"]
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pick", description="What a pick costs.")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file as well")
    parser.add_argument("--rounds", type=int, default=25, help="measurements of each case (default: 25)")
    chosen = parser.parse_args(arguments)
    cases = list(all_cases())
    for _ in range(max(1, chosen.rounds)):
        for each in cases:
            each.measure()
    found = report(cases)
    print(table(found))
    if chosen.json:
        chosen.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""What a pick costs, by policy and number of backends: ``python -m benchmarks.pick [--json OUT]``.

Interpreted, over the sequences that the proxy uses; in processor time, so that other processes do not count. The
rounds of all cases are interleaved, so that a slow spell of the machine meets them all; a figure is the mean of one
round, and min, median and max are over the rounds.
"""

import argparse
import json
import random
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy
from smartlb.policies.registry import POLICIES

BACKENDS = (10, 100, 1000)
CALLS = 200

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


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table, and what is measured for it."""

    label: str
    backends: int
    barred: int
    pick: Callable[[], None]
    observe: Callable[[], None] | None
    pick_us: list[float] = field(default_factory=list)
    observe_us: list[float] = field(default_factory=list)

    def measure(self) -> None:
        """Add a round."""
        self.pick_us.append(_microseconds_per_call(self.pick))
        if self.observe is not None:
            self.observe_us.append(_microseconds_per_call(self.observe))


def _microseconds_per_call(calls: Callable[[], None]) -> float:
    start = time.thread_time()
    calls()
    return (time.thread_time() - start) / CALLS * 1e6


def case(label: str, backends: int, barred: int, seed: int = 0) -> Case:
    """The case of a label of `VARIANTS`."""
    name, given = VARIANTS[label]
    policy = POLICIES[name]
    options = policy.options.model_validate(given)
    chance = random.Random(f"{seed} {backends} {barred}")
    pool = pool_view(backends, barred, chance)
    memory = policy.remember(Members([f"backend-{at}" for at in range(backends)], pool.weight), options)
    draws = [tuple(chance.random() for _ in range(policy.draws(options))) for _ in range(CALLS)]
    arguments = [(chance.getrandbits(64), drawn) for drawn in draws]
    samples = [(chance.choice(pool.eligible), chance.uniform(0.01, 0.2)) for _ in range(CALLS)]
    observe = _observes(policy, memory, samples) if policy.observe else None
    if observe:
        observe()
    return Case(label, backends, barred, _picks(policy, pool, memory, arguments), observe)


def _picks(
    policy: Policy, pool: PoolView, memory: Any, arguments: Sequence[tuple[int, tuple[float, ...]]]
) -> Callable[[], None]:
    pick = policy.pick

    def calls() -> None:
        now_s = time.monotonic()
        for key, draws in arguments:
            pick(pool, memory, 0, key, now_s, draws)

    return calls


def _observes(policy: Policy, memory: Any, samples: Sequence[tuple[int, float]]) -> Callable[[], None]:
    observe = policy.observe
    assert observe is not None

    def calls() -> None:
        now_s = time.monotonic()
        for backend, latency_s in samples:
            observe(memory, backend, now_s, latency_s, False)

    return calls


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {name: round(of(values), 3) for name, of in (("min", min), ("median", median), ("max", max))}


def report(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """The measurements, in microseconds; `observe_us` is None for policies that do not measure."""
    return [
        {
            "policy": case.label,
            "backends": case.backends,
            "barred": case.barred,
            "pick_us": _spread(case.pick_us),
            "observe_us": _spread(case.observe_us),
        }
        for case in cases
    ]


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The report for a terminal."""
    heads = ("backends", 9), ("barred", 8), ("min", 9), ("median", 9), ("max", 9), ("observe, median", 17)
    lines = [f"{'µs per pick':<30}" + "".join(f"{head:>{width}}" for head, width in heads)]
    for row in rows:
        pick, observe = row["pick_us"], row["observe_us"]
        lines.append(
            f"{row['policy']:<30}{row['backends']:>9}{row['barred']:>8}"
            f"{pick['min']:>9.2f}{pick['median']:>9.2f}{pick['max']:>9.2f}"
            f"{format(observe['median'], '.2f') if observe else '-':>17}"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pick", description="What a pick costs.")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures to this file as well")
    parser.add_argument("--rounds", type=int, default=25, help="measurements of each case (default: 25)")
    chosen = parser.parse_args(arguments)
    cases = [
        case(label, backends, barred) for label in VARIANTS for backends in BACKENDS for barred in (0, backends // 10)
    ]
    for _ in range(max(1, chosen.rounds)):
        for each in cases:
            each.measure()
    rows = report(cases)
    print(table(rows))
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""How fast the simulator is: ``python -m benchmarks.simulator [--json OUT]``.

Requests simulated in a second of one core, by policy and number of backends, with everything that a run does: making
requests, policy, backends, telemetry, health checks, ejection and, for the learned policy, learning. Beside it SimPy
and Ciw on the same M/M/c queue, and the memory that a trace of ten million requests takes. Rounds of all cases are
interleaved; figures are medians over the rounds.
"""

import argparse
import csv
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.rig.command import Options, publish
from simulator.api import run
from simulator.scenario import Scenario
from smartlb.cli.arguments import several

POLICIES = (
    "round_robin",
    "least_connections",
    "power_of_two",
    "peak_ewma",
    "weighted_least_connections",
    "least_time",
    "learned",
    "prequal",
    "clairvoyant",
)
BACKENDS = (10, 100, 1000)
SCANS = ("least_connections", "weighted_least_connections", "least_time", "clairvoyant")
"""Policies that look at every backend, which at 1,000 of them is what a run costs."""

MEAN_MS = 2.0
CORES = 4
UTILISATION = 0.7
MMC_CORES = 8
MMC_UTILISATION = 0.8


def fleet(backends: int, requests: int) -> Scenario:
    """Equal backends under exponential work, for about so many requests."""
    rate = UTILISATION * backends * CORES / MEAN_MS * 1000.0
    return Scenario.model_validate(
        {
            "description": "a benchmark",
            "duration_s": requests / rate,
            "warmup_s": 0.0,
            "workload": {"classes": [{"name": "request", "work": {"kind": "exponential", "mean_ms": MEAN_MS}}]},
            "load": {"rate": rate},
            "fleet": [{"name": "server", "count": backends, "cores": CORES}],
        }
    )


def queue(requests: int) -> Scenario:
    """An M/M/c queue and nothing else."""
    rate = MMC_UTILISATION * MMC_CORES / MEAN_MS * 1000.0
    server = {"name": "server", "cores": MMC_CORES, "queue": 1_000_000, "round_trip_s": 0.0}
    return Scenario.model_validate(
        {
            "description": "M/M/c",
            "duration_s": requests / rate,
            "warmup_s": 0.0,
            "workload": {"classes": [{"name": "request", "work": {"kind": "exponential", "mean_ms": MEAN_MS}}]},
            "load": {"rate": rate},
            "fleet": [server],
            "health_check": None,
            "ejection": None,
        }
    )


def by_simpy(requests: int, seed: int) -> int:
    """The same queue in SimPy: a resource of c servers, a process a request; returns how many were served."""
    import simpy

    chance = random.Random(seed)
    environment = simpy.Environment()
    servers = simpy.Resource(environment, capacity=MMC_CORES)
    rate = MMC_UTILISATION * MMC_CORES / MEAN_MS * 1000.0
    sojourns: list[float] = []

    def request() -> Any:
        arrived_s = environment.now
        with servers.request() as turn:
            yield turn
            yield environment.timeout(chance.expovariate(1000.0 / MEAN_MS))
        sojourns.append(environment.now - arrived_s)

    def source() -> Any:
        for _ in range(requests):
            yield environment.timeout(chance.expovariate(rate))
            environment.process(request())

    environment.process(source())
    environment.run()
    return len(sojourns)


def by_ciw(requests: int, seed: int) -> int:
    """The same queue in Ciw; returns how many were served."""
    import ciw

    rate = MMC_UTILISATION * MMC_CORES / MEAN_MS * 1000.0
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate=rate)],
        service_distributions=[ciw.dists.Exponential(rate=1000.0 / MEAN_MS)],
        number_of_servers=[MMC_CORES],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(requests, method="Finish")
    return len(simulation.get_all_records())


@dataclass(frozen=True, slots=True)
class Case:
    """Something to be timed; `once` runs it for a seed and returns how many requests were simulated."""

    what: str
    policy: str
    backends: int
    once: Callable[[int], int]
    rates: list[float] = field(default_factory=list)

    def measure(self, seed: int) -> None:
        """Add a round."""
        started_s = time.process_time()
        done = self.once(seed)
        self.rates.append(done / (time.process_time() - started_s))

    @property
    def rate(self) -> float:
        """Requests simulated in a second."""
        return median(self.rates)


def cases(requests: int, policies: Sequence[str], backends: Sequence[int]) -> list[Case]:
    """Every case; those that are slow get fewer requests."""
    found = []
    for count in backends:
        for policy in policies:
            share = 0.1 if count > 100 and policy in SCANS else 1.0
            found.append(Case("fleet", policy, count, _ours(fleet(count, int(requests * share)), policy)))
    found.append(Case("M/M/c", "smartlb", 1, _ours(queue(requests), "round_robin")))
    found.append(Case("M/M/c", "SimPy", 1, lambda seed: by_simpy(requests // 20, seed)))
    found.append(Case("M/M/c", "Ciw", 1, lambda seed: by_ciw(requests // 50, seed)))
    return found


def _ours(scenario: Scenario, policy: str) -> Callable[[int], int]:
    return lambda seed: len(run(scenario, policy, seed).log)


def trace_memory(requests: int) -> dict[str, Any]:
    """Replay a trace of so many lines in a process of its own; peak memory and time."""
    with tempfile.TemporaryDirectory(prefix="smartlb-benchmark-") as folder:
        path = Path(folder) / "trace.csv"
        _write_trace(path, requests)
        started_s = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.simulator", "--replay", str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
        return {**json.loads(done.stdout), "seconds": time.perf_counter() - started_s}


def _write_trace(path: Path, requests: int) -> None:
    chance = random.Random(1)
    at_s = 0.0
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("at", "seconds"))
        for _ in range(requests):
            at_s += chance.expovariate(10_000.0)
            rows.writerow((f"{at_s:.6f}", f"{chance.expovariate(500.0):.6f}"))


def replay(path: str) -> dict[str, Any]:
    """Replay a trace, and say how much memory the process needed."""
    scenario = {
        "description": "a long trace",
        "duration_s": 10_000_000.0,
        "warmup_s": 0.0,
        "workload": {"trace": {"path": path, "format": "csv", "columns": {"at": "at", "duration": "seconds"}}},
        "load": {"utilisation": UTILISATION},
        "fleet": [{"name": "server", "count": 10, "cores": CORES}],
    }
    of = run(scenario, "power_of_two")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"requests": len(of.log), "peak_mb": round(peak)}


def figures(measured: Sequence[Case], trace: dict[str, Any] | None) -> dict[str, Any]:
    """Everything that was measured, for the JSON file."""
    ours = next((case.rate for case in measured if case.policy == "smartlb"), 0.0)
    return {
        "rows": [
            {"policy": case.policy, "backends": case.backends, "median": case.rate, "rounds": case.rates}
            for case in measured
            if case.what == "fleet"
        ],
        "m_m_c": [
            {"simulator": case.policy, "requests_per_s": case.rate, "smartlb_is_times_faster": ours / case.rate}
            for case in measured
            if case.what == "M/M/c"
        ],
        "trace": trace,
    }


def table(found: dict[str, Any]) -> str:
    """The figures for a terminal."""
    rows = found["rows"]
    counts = sorted({row["backends"] for row in rows})
    lines = [f"{'requests simulated a second':<30}" + "".join(f"{f'{count} backends':>16}" for count in counts)]
    for policy in dict.fromkeys(row["policy"] for row in rows):
        values = {row["backends"]: row["median"] for row in rows if row["policy"] == policy}
        lines.append(f"{policy:<30}" + "".join(f"{values[count]:>16,.0f}" for count in counts))
    lines.append("")
    for row in found["m_m_c"]:
        times = row["smartlb_is_times_faster"]
        lines.append(f"M/M/{MMC_CORES} in {row['simulator']:<20}{row['requests_per_s']:>16,.0f}   {times:,.1f}x")
    if found["trace"]:
        trace = found["trace"]
        lines += ["", f"trace of {trace['requests']:,} requests: {trace['peak_mb']:,} MB, {trace['seconds']:.0f} s"]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = Options("simulator", "How fast the simulator is.")
    parser.rounds(5, "measurements of each case")
    parser.add_argument(
        "--policies", type=several("policy", lambda: POLICIES), default=POLICIES, metavar="NAMES",
        help=f"separated by commas (default: {','.join(POLICIES)})",
    )  # fmt: skip
    parser.add_argument("--requests", type=int, default=1_000_000, help="simulated in each (default: 1,000,000)")
    parser.add_argument(
        "--trace-requests", type=int, default=10_000_000, help="length of the trace; 0 for none (default: 10,000,000)"
    )
    parser.add_argument("--replay", metavar="FILE", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.replay:
        print(json.dumps(replay(chosen.replay)))
        return
    measured = cases(chosen.requests, chosen.policies, BACKENDS)
    for case in cases(
        2_000, chosen.policies, BACKENDS
    ):  # what must be compiled or imported is so before anything is timed
        case.once(0)
    for number in range(chosen.rounds):
        for case in measured:
            case.measure(number)
    trace = trace_memory(chosen.trace_requests) if chosen.trace_requests else None
    found = figures(measured, trace)
    print(table(found))
    publish(chosen.json, found.pop("rows"), (), found)


if __name__ == "__main__":
    main()

"""The simulator against reality: ``python -m benchmarks.reality [--json OUT]``.

The demo's fleet of real servers behind the live router, and the simulator, get the same requests: the same arrivals,
classes and amounts of work, the same slow-down and the same errors. Both distributions of latency are printed side by
side. One number is measured for the simulator beforehand, under light load: what a request takes beside its service, on
its way through load generator, router and server; it becomes the simulated network's round trip.
"""

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rig.command import Options, publish
from benchmarks.rig.goals import Goal, at_most
from simulator.contenders import CONTENDERS, contender
from simulator.demo import scenario, workload
from simulator.demo.fleet import AFFINITY, FLEET
from simulator.demo.load import Array
from simulator.demo.run import PolicyRun
from simulator.demo.settings import Settings
from simulator.demo.view import Scene
from simulator.demo.workload import Workload
from simulator.plan import plan
from simulator.result import failed, latency_s
from simulator.scenario import Scenario
from simulator.simulation import simulate
from simulator.workload.given import Given
from simulator.workload.request import REQUEST
from smartlb.cli.arguments import several

POLICIES = ("round_robin", "least_connections", "peak_ewma", "learned")
LEVELS = (50, 90, 99)
LIGHT = Settings(seconds=6.0, rate=100.0, load=0.03)
"""So few and small requests that hardly any meets another."""


async def live(settings: Settings, load: Workload, arrivals: Array, policy: str) -> Array:
    """What became of the requests behind the live router, the warm-up left out."""
    scene = Scene(fleet=FLEET, classes=load.classes, source=load.source, policies=settings.policies)
    with tempfile.TemporaryDirectory(prefix="smartlb-reality-") as folder:
        await asyncio.to_thread(settings.output.mkdir, parents=True, exist_ok=True)
        return await PolicyRun(settings, load, scene, Path(folder)).under(policy, arrivals)


def overhead_s(settings: Settings) -> float:
    """What a request takes beside its service, as the median under light load."""
    settings = replace(LIGHT, output=settings.output, seed=settings.seed)
    load = workload.generated(settings.total_s, settings.rate, settings.seed)
    arrivals = load.arrivals(FLEET, settings.load, settings.total_s)
    results = asyncio.run(live(settings, load, arrivals, "round_robin"))
    counted = arrivals[arrivals["at_s"] >= settings.warmup_s]
    troubled = {fault.server for fault in scenario.faults(settings.seconds)}
    well = np.array([server.name not in troubled for server in FLEET])
    ok = (results["status"] == 200) & well[results["backend"]]
    speed = np.array([[_speed(at, name, load.affine) for name in load.classes] for at in range(len(FLEET))])
    service_s = counted["work_ms"] / 1000.0 / speed[results["backend"], counted["request_class"]]
    return float(np.median((results["latency_s"] - service_s)[ok]))


def _speed(backend: int, request_class: str, affine: str) -> float:
    server = FLEET[backend]
    return server.speed * (AFFINITY if server.specialised and request_class == affine else 1.0)


def simulated(settings: Settings, load: Workload, arrivals: Array, policy: str, trip_s: float) -> Array:
    """The same in the simulator: `simulator.kernel.state.LOG`, the warm-up left out."""
    rows = np.zeros(len(arrivals), REQUEST)
    rows["at_s"] = arrivals["at_s"]
    rows["work_s"] = rows["first_s"] = arrivals["work_ms"] / 1000.0
    rows["request_class"] = arrivals["request_class"]
    demand = Given(rows, load.classes)
    described = Scenario.model_validate(_described(settings, load, demand, trip_s))
    planned = plan("reality", described, demand, settings.seed)
    return simulate(planned, contender(policy)).requests


def _described(settings: Settings, load: Workload, demand: Given, trip_s: float) -> dict[str, Any]:
    """The demo's fleet and faults as a scenario."""
    unused = {"kind": "constant", "mean_ms": 1.0}  # the requests are given
    faults: list[dict[str, Any]] = []
    for fault in scenario.faults(settings.seconds):
        when = {
            "backends": [fault.server],
            "starts_s": settings.warmup_s + fault.starts_s,
            "ends_s": settings.warmup_s + fault.ends_s,
        }
        if fault.slow > 1.0:
            faults.append({"kind": "slow", "factor": fault.slow, **when})
        if fault.fail:
            faults.append({"kind": "fail", "probability": fault.fail, **when})
    return {
        "description": "the demo's fleet",
        "duration_s": settings.total_s + 1.0,
        "warmup_s": settings.warmup_s,
        "workload": {"classes": [{"name": name, "work": unused} for name in load.classes]},
        "load": {"rate": demand.rate},
        "fleet": [
            {
                "name": server.name,
                "cores": server.cores,
                "speed": server.speed,
                "class_speed": {load.affine: server.speed * AFFINITY} if server.specialised else {},
                "round_trip_s": trip_s,
            }
            for server in FLEET
        ],
        "faults": faults,
        "timeout_s": settings.timeout_s,
        "health_check": {"path": "/health", "interval_s": 1.0},
        "ejection": {"consecutive_failures": 5},
    }


def figures(latency: Any, wrong: Any) -> dict[str, float]:
    """Mean and percentiles in milliseconds of the requests that did not fail, and the share of those that did."""
    well = latency[~wrong] * 1000.0
    levels = np.percentile(well, LEVELS).tolist()
    named = {f"p{level}_ms": value for level, value in zip(LEVELS, levels, strict=True)}
    return {"mean_ms": float(well.mean()), **named, "failed": float(wrong.mean())}


def compare(settings: Settings, policies: Sequence[str], rounds: int) -> dict[str, Any]:
    """Run everything, rounds of all policies interleaved, each round with a seed of its own."""
    trip_s = overhead_s(settings)
    found: dict[str, list[Mapping[str, Mapping[str, float]]]] = {policy: [] for policy in policies}
    for number in range(rounds):
        chosen = replace(settings, seed=settings.seed + number)
        load = workload.generated(chosen.total_s, chosen.rate, chosen.seed)
        arrivals = load.arrivals(FLEET, chosen.load, chosen.total_s)
        for policy in policies:
            real = asyncio.run(live(chosen, load, arrivals, policy))
            log = simulated(chosen, load, arrivals, policy, trip_s)
            found[policy].append(
                {
                    "live": figures(real["latency_s"], real["status"] != 200),
                    "simulated": figures(latency_s(log), failed(log)),
                }
            )
            print(_row(f"{policy}, seed {chosen.seed}", found[policy][-1]), flush=True)
    return {"round_trip_ms": trip_s * 1000.0, "policies": found}


def _row(name: str, pair: Mapping[str, Mapping[str, float]]) -> str:
    live, simulated = pair["live"], pair["simulated"]
    shown = ("mean_ms", *(f"p{level}_ms" for level in LEVELS))
    cells = [f"{live[figure]:>8.1f}{simulated[figure]:>8.1f}" for figure in shown]
    return "  ".join([f"{name:<26}", *cells, f"{live['failed']:>8.2%}{simulated['failed']:>8.2%}"])


def median_rows(found: Mapping[str, Any]) -> str:
    """The medians over the rounds, for a terminal."""
    lines = []
    for policy, pairs in found["policies"].items():
        medians = {
            side: {figure: float(np.median([pair[side][figure] for pair in pairs])) for figure in pairs[0][side]}
            for side in ("live", "simulated")
        }
        lines.append(_row(policy, medians))
    return "\n".join(lines)


def goals(found: Mapping[str, Any]) -> list[Goal]:
    """The simulator should put the policies in the order of the live run, by the mean latency that each has."""
    means = {
        side: {policy: float(np.median([pair[side]["mean_ms"] for pair in pairs])) for policy, pairs in found.items()}
        for side in ("live", "simulated")
    }
    live, simulated = (sorted(of, key=of.__getitem__) for of in means.values())
    misplaced = sum(one != other for one, other in zip(live, simulated, strict=True))
    return [
        at_most("policies that the simulator puts in another place than the live run, by their means", misplaced, 0)
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison."""
    options = Options("reality", "The simulator against reality.")
    options.rounds(3, "of each policy, with seeds of their own")
    options.add_argument(
        "--policies", type=several("policy", lambda: list(CONTENDERS)), default=POLICIES, metavar="NAMES",
        help=f"separated by commas (default: {','.join(POLICIES)})",
    )  # fmt: skip
    options.seconds(14, "that count of each run", least=4)
    options.add_argument(
        "--logs", type=Path, default=Path("bench-results/reality"), help="folder for the router's logs"
    )
    chosen = options.parse_args(arguments)
    settings = Settings(seconds=chosen.seconds, output=chosen.logs)
    heads = ("mean", *(f"p{level}" for level in LEVELS), "failed")
    print(f"{'latency in ms':<28}" + "  ".join(f"{head:^16}" for head in heads))
    print(f"{'':<28}" + "  ".join(f"{'live':>8}{'sim.':>8}" for _ in heads), flush=True)
    found = compare(settings, chosen.policies, chosen.rounds)
    print(f"\nmedians of {chosen.rounds} rounds; a request's way takes {found['round_trip_ms']:.2f} ms")
    print(median_rows(found))
    publish(chosen.json, found["policies"], goals(found["policies"]), {"round_trip_ms": found["round_trip_ms"]})


if __name__ == "__main__":
    main()

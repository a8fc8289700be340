"""Scenarios drawn at random: fleets, requests and faults that nobody had in mind when a policy was tuned.

Whoever places requests well can carry every one of them, also while its faults last.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from simulator.faults.condition import WELL, Condition
from simulator.fleet import Backend, highest_rate
from simulator.plan import Plan, plan
from simulator.scenario import Scenario
from simulator.streams import streams
from simulator.workload.generated import Generated, GeneratedWorkload
from simulator.workload.request import Array

DURATION_S: Final = 60.0

REQUESTS: Final = (10_000.0, 150_000.0)
"""About how many come, so that a run has something to measure and is over soon."""

MOST_REQUESTS: Final = 200_000

WORK_S: Final = (0.005, 2.0)
"""Mean work of a request."""

LOAD: Final = (0.4, 0.85)
"""As a share of what the fleet carries while it is well."""

BUSIEST: Final = 0.95
"""Most load at any time; see `busiest`."""

WINDOWS: Final = 12
"""In how many parts of a run load is looked at; for what is shorter, such as a pause, there are queues."""

_CLASSES: Final = ("page", "search", "image", "report", "upload")
_GROUPS: Final = ("amber", "blue", "cyan", "green", "red")


def generate(number: int) -> Scenario:
    """The scenario of a number; the same number gives the same scenario.

    Raises:
        ValueError: the number is negative.
    """
    draw = _Draw(streams(number)("scenario"))
    while True:
        data = draw.scenario()
        planned = _planned(data)
        utilisation = planned.utilisation * min(1.0, BUSIEST / busiest(planned))
        if utilisation >= LOAD[0] and planned.rate * DURATION_S <= MOST_REQUESTS:
            data["load"] = {"utilisation": _shorter(utilisation)}
            said = _said(number, _planned(data))
            return Scenario.model_validate({**data, "description": said})


def busiest(planned: Plan) -> float:
    """The most that a scenario asks of its fleet at any time, as a share of what this carries at best as it then is.

    Surges of requests and faults count. At 1 or more there are times when the best policy gets into arrears.
    """
    duration_s = planned.scenario.duration_s
    edges_s = np.linspace(0.0, duration_s, WINDOWS + 1)
    came = np.zeros(WINDOWS)
    unread = frozenset({"client", "url", "fail_draw", "tail_draw"})
    for requests in planned.demand.requests(planned.rate, duration_s, planned.stream, unread=unread):
        came += np.histogram(requests["at_s"], edges_s)[0]
    return float((came / np.maximum(_carried(planned, edges_s), 1e-9)).max())


def _carried(planned: Plan, edges_s: Array) -> Array:
    """How many requests the fleet carries at best from each of these times to the next."""
    share = np.array([kind.share for kind in planned.demand.classes])
    work_s = np.array([kind.work_s for kind in planned.demand.classes])
    known: dict[frozenset[Any], float] = {}  # few differ: it does not matter which of equal backends is slow

    def rate(conditions: Sequence[Condition]) -> float:
        fleet = [_as_it_is(*each) for each in zip(planned.fleet, conditions, strict=True) if _pace(each[1]) > 0.0]
        key = frozenset(Counter(backend.server for backend in fleet).items())
        if key not in known:
            known[key] = highest_rate(fleet, share, work_s) if fleet else 0.0
        return known[key]

    conditions = [WELL] * len(planned.fleet)
    times_s, done = [0.0], [0.0]
    pace = rate(conditions)
    for change in planned.changes:
        times_s.append(change.at_s)
        done.append(done[-1] + pace * (change.at_s - times_s[-2]))
        conditions[change.backend] = change.condition
        pace = rate(conditions)
    times_s.append(max(times_s[-1], float(edges_s[-1])))
    done.append(done[-1] + pace * (times_s[-1] - times_s[-2]))
    return np.diff(np.interp(edges_s, times_s, done))


def _pace(condition: Condition) -> float:
    """Work that a backend does well in a condition, over what it does when it is well."""
    if condition.crashed or condition.hanging or condition.absent:
        return 0.0
    return condition.speed * (1.0 - condition.fail) / (1.0 + condition.tail * (condition.tail_factor - 1.0))


def _as_it_is(backend: Backend, condition: Condition) -> Backend:
    speed = tuple(_pace(condition) * each for each in backend.server.speed)
    return replace(backend, server=backend.server._replace(speed=speed))


def _planned(data: dict[str, Any]) -> Plan:
    scenario = Scenario.model_validate(data)
    assert isinstance(scenario.workload, GeneratedWorkload)
    return plan("generated", scenario, Generated(scenario.workload), 0)


def _said(number: int, planned: Plan) -> str:
    scenario = planned.scenario
    kinds = ", ".join(f"{group.count} {group.name}" for group in scenario.fleet)
    faults = ", ".join(fault.kind for fault in scenario.faults) or "none"
    routers = scenario.routers
    alone = "" if routers.share_in_flight else " that do not see each other's requests"
    assert isinstance(scenario.workload, GeneratedWorkload)
    return (
        f"Drawn at random, number {number}: {len(planned.fleet)} backends ({kinds}), "
        f"{_several(len(planned.demand.classes), 'class', 'classes')} of requests of {planned.demand.work_s * 1e3:.3g} "
        f"ms on average, {scenario.workload.arrivals.kind} arrivals at {100.0 * planned.utilisation:.0f} % of what "
        f"the fleet carries, {_several(routers.count, 'router', 'routers')}{alone}; faults: {faults}."
    )


def _several(count: int, one: str, more: str) -> str:
    return f"{count} {one if count == 1 else more}"


def _shorter(value: float) -> float:
    """To three digits, as people write numbers."""
    return float(f"{value:.3g}")


class _Draw:
    """Draws data of scenarios, as their files have it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def scenario(self) -> dict[str, Any]:
        classes = list(_CLASSES[: self._whole(1, len(_CLASSES))])
        fleet = self._fleet(classes)
        utilisation = self._between(*LOAD)
        at_once = [group["cores"] if "cores" in group else group["batch"] / 2 for group in fleet]  # about
        work_a_second = sum(of["count"] * most * of["speed"] for of, most in zip(fleet, at_once, strict=True))
        mean_s = float(np.clip(utilisation * work_a_second * DURATION_S / self._about(*REQUESTS), *WORK_S))
        workload = self._workload(classes, mean_s)
        slowest_s = max(of["work"]["mean_ms"] for of in workload["classes"]) / 1e3 / min(of["speed"] for of in fleet)
        return {
            "description": "drawn",
            "duration_s": DURATION_S,
            "workload": workload,
            "load": {"utilisation": utilisation},
            "fleet": fleet,
            "faults": [self._fault(fleet) for _ in range(self._whole(0, 3))],
            "routers": self._routers(),
            "timeout_s": _shorter(max(5.0, 40.0 * slowest_s)),
        }

    # Who serves

    def _fleet(self, classes: Sequence[str]) -> list[dict[str, Any]]:
        backends = round(self._about(3, 40))
        kinds = self._whole(1, min(len(_GROUPS), backends))
        ends = np.sort(self._rng.choice(backends - 1, kinds - 1, replace=False) + 1).tolist()
        counts = np.diff([0, *ends, backends]).tolist()
        fleet = [self._group(name, count) for name, count in zip(_GROUPS, counts, strict=False)]
        if len(classes) > 1 and len(fleet) > 1 and self._happens(0.4):
            for name in classes:
                if self._happens(0.6):
                    group = self._one_of(fleet)
                    group.setdefault("class_speed", {})[name] = _shorter(group["speed"] * self._between(2.0, 5.0))
        return fleet

    def _group(self, name: str, count: int) -> dict[str, Any]:
        group: dict[str, Any] = {"name": name, "count": count, "speed": self._about(0.4, 2.5)}
        if self._happens(0.1):
            growth = self._about(0.01, 0.05)
            return {**group, "discipline": "batching", "batch": self._one_of([8, 16, 32]), "batch_growth": growth}
        group |= {"cores": self._one_of([1, 2, 4, 8]), "discipline": self._one_of(["fifo", "fifo", "sharing"])}
        if self._happens(0.3):
            group["queue"] = round(self._about(20, 500))
        return group

    def _routers(self) -> dict[str, Any]:
        if self._happens(0.75):
            return {}
        return {"count": self._whole(2, 20), "share_in_flight": self._happens(0.3)}

    # What comes

    def _workload(self, classes: Sequence[str], mean_s: float) -> dict[str, Any]:
        shares = [self._about(0.1, 1.0) for _ in classes]
        means = [self._about(0.3, 3.0) for _ in classes]
        scale = 1e3 * mean_s * sum(shares) / sum(share * mean for share, mean in zip(shares, means, strict=True))
        return {
            "arrivals": self._one_of([self._steady, self._steady, self._bursts, self._tide, self._surge])(),
            "classes": [
                {"name": name, "share": share, "work": self._work(_shorter(scale * mean))}
                for name, share, mean in zip(classes, shares, means, strict=True)
            ],
        }

    def _work(self, mean_ms: float) -> dict[str, Any]:
        work: dict[str, Any] = {"kind": self._one_of(["exponential", "lognormal", "pareto", "constant", "uniform"])}
        if work["kind"] == "lognormal":
            work["sigma"] = self._between(0.3, 1.2)
        elif work["kind"] == "pareto":
            work |= {"alpha": self._between(1.4, 2.2), "bound": 30.0}
        return {**work, "mean_ms": mean_ms}

    def _steady(self) -> dict[str, Any]:
        return {"kind": self._one_of(["poisson", "poisson", "poisson", "even"])}

    def _bursts(self) -> dict[str, Any]:
        factor, burst_s, quiet_s = self._between(1.3, 2.5), self._about(0.3, 2.0), self._about(2.0, 8.0)
        return {"kind": "bursts", "factor": factor, "burst_s": burst_s, "quiet_s": quiet_s}

    def _tide(self) -> dict[str, Any]:
        return {"kind": "diurnal", "amplitude": self._between(0.1, 0.4), "period_s": DURATION_S}

    def _surge(self) -> dict[str, Any]:
        factor, start_s = self._between(1.2, 2.0), self._between(15.0, 30.0)
        times = {"start_s": start_s, "ramp_s": 3.0, "hold_s": 10.0, "decay_s": 5.0}
        return {"kind": "flash_crowd", "factor": factor, **times}

    # What goes wrong

    def _fault(self, fleet: Sequence[dict[str, Any]]) -> dict[str, Any]:
        group = self._one_of(fleet)
        one = group["name"] if group["count"] == 1 else f"{group['name']}-{self._whole(1, group['count'])}"
        starts_s = self._between(15.0, 35.0)
        times = {"starts_s": starts_s, "ends_s": _shorter(starts_s + self._between(5.0, 20.0))}
        faults: dict[str, Callable[[], dict[str, Any]]] = {
            "slow": lambda: {"factor": self._about(1.5, 8.0)},
            "pause": lambda: {"pause_s": self._about(0.1, 1.0), "every_s": self._between(4.0, 10.0)},
            "crash": dict,
            "hang": dict,
            "fail": lambda: {"probability": self._about(0.1, 1.0)},
            "tail": lambda: {"probability": self._about(0.01, 0.1), "factor": self._about(5.0, 20.0)},
            "cold_start": lambda: {"first_speed": self._between(0.1, 0.5), "warms_up_s": 5.0, "ends_s": None},
            "away": dict,
            "leak": lambda: {"factor": self._about(2.0, 6.0), "restart_s": self._one_of([0.0, 2.0])},
            "antagonist": lambda: {"factor": self._about(2.0, 5.0), "moves_every_s": self._whole(2, 6)},
        }
        kind = self._one_of(list(faults))
        whom = group["name"] if kind in ("pause", "antagonist") else one
        return {"kind": kind, "backends": [whom], **times, **faults[kind]()}

    # Numbers

    def _between(self, least: float, most: float) -> float:
        return _shorter(float(self._rng.uniform(least, most)))

    def _about(self, least: float, most: float) -> float:
        """Uniform in its logarithm: as often in one octave as in the next."""
        return _shorter(float(np.exp(self._rng.uniform(np.log(least), np.log(most)))))

    def _whole(self, least: int, most: int) -> int:
        return int(self._rng.integers(least, most + 1))

    def _happens(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def _one_of(self, choices: Sequence[Any]) -> Any:
        return choices[self._whole(0, len(choices) - 1)]

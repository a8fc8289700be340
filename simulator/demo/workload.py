"""What the demo asks of the fleet: a schedule of requests, each with a class and an amount of work."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simulator.demo.fleet import ServerSpec, highest_load
from simulator.demo.load import ARRIVAL, Array


@dataclass(frozen=True, slots=True)
class Workload:
    """A schedule whose work is relative until a fleet to carry it is known.

    Attributes:
        source: what it is, in a sentence for the reader of the report.
        classes: names of the request classes.
        affine: the one of them at which specialised servers are faster.
        at_s: float64 ``[requests]``, ascending from 0 on.
        request_class: uint8 ``[requests]``, indices of `classes`.
        work: float64 ``[requests]``, with mean 1.
        speedup: how many times faster than recorded a trace is replayed; None for generated workloads.
    """

    source: str
    classes: tuple[str, ...]
    affine: str
    at_s: npt.NDArray[np.float64]
    request_class: npt.NDArray[np.uint8]
    work: npt.NDArray[np.float64]
    speedup: float | None = None

    def arrivals(self, fleet: Sequence[ServerSpec], load: float, seconds: float) -> Array:
        """The schedule with work that loads `fleet` to the share `load` of what it can carry at best.

        Args:
            fleet: the servers.
            load: share of `highest_load`.
            seconds: over which the schedule spreads.

        Returns:
            An array of `simulator.demo.load.ARRIVAL`.
        """
        total = float(self.work.sum())
        affine = float(self.work[self.request_class == self.classes.index(self.affine)].sum()) / total
        work_s = load * highest_load(fleet, 1 - affine, affine) * seconds / total
        arrivals: Array = np.zeros(len(self.at_s), ARRIVAL)
        arrivals["at_s"] = self.at_s
        arrivals["request_class"] = self.request_class
        arrivals["work_ms"] = self.work * work_s * 1000
        return arrivals


_CLASSES = ("page", "search", "analytics")
_CLASS_SHARE = (0.5, 0.32, 0.18)
_CLASS_WORK = (0.6, 1.0, 1.8)
_WORK_SIGMA = 0.6

_STEP_S = 0.05
_BURST_EVERY_S = 4.0
_BURST_S = 0.6
_BURST_FACTOR = 1.5


def generated(seconds: float, rate: float, seed: int) -> Workload:
    """Poisson arrivals with bursts, lognormal work, three classes.

    Args:
        seconds: how long it is.
        rate: mean number of requests a second.
        seed: of all its draws.
    """
    draw = np.random.default_rng(seed)
    starts = np.arange(0.0, seconds, _STEP_S)
    intensity = np.ones(len(starts))
    for burst_s in np.arange(0.0, seconds, _BURST_EVERY_S):
        begins = burst_s + draw.uniform(0, _BURST_EVERY_S - _BURST_S)
        intensity[(starts >= begins) & (starts < begins + _BURST_S)] = _BURST_FACTOR
    counts = draw.poisson(intensity / intensity.mean() * rate * _STEP_S)
    at_s = np.sort(np.repeat(starts, counts) + draw.uniform(0, _STEP_S, counts.sum()))
    request_class = draw.choice(len(_CLASSES), len(at_s), p=_CLASS_SHARE).astype(np.uint8)
    work = np.array(_CLASS_WORK)[request_class] * draw.lognormal(0.0, _WORK_SIGMA, len(at_s))
    return Workload(
        source=f"generated: Poisson with bursts of {_BURST_FACTOR:g} times the rate, lognormal work",
        classes=_CLASSES,
        affine="analytics",
        at_s=at_s,
        request_class=request_class,
        work=work / work.mean(),
    )

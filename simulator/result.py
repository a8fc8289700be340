"""What a run leaves: every attempt at every request, and what the router thought meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from simulator.faults.condition import Change
from simulator.kernel.state import Array
from smartlb.core.record import NO_BACKEND, failures
from smartlb.learning.checkpoint import Checkpoint

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault as a reader of the report sees it.

    Attributes:
        name: such as ``slow fast-1``.
        starts_s, ends_s: when; infinity for never.
    """

    name: str
    starts_s: float
    ends_s: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A backend was taken out of the pool or put back, by a health check or by ejection."""

    at_s: float
    backend: int
    eligible: bool
    reason: str


@dataclass(frozen=True)
class Run:
    """One policy in one scenario with one seed.

    Attributes:
        scenario: its name.
        policy: the contender's name.
        seed: of all random streams.
        options: what was changed in the scenario or in the policy, for the report.
        warmup_s: what arrived before counts for nothing.
        duration_s: until when requests arrived.
        classes: names of the request classes.
        backends: their names.
        capacity: ``[backends]``; work a second that each can do, of the workload's mix, while it is well.
        utilisation: offered load, as a share of what the whole fleet could carry at best.
        rate: requests a second, over the whole run.
        speedup: how many times faster than recorded a trace is replayed; NaN for generated workloads.
        log: `simulator.kernel.state.LOG`; every attempt, in the order in which they ended.
        troubles: the faults.
        changes: every backend's condition over time.
        bars: what health checks and ejection did.
        weights_s: ``[ticks]``; when the learner published.
        weights: ``[ticks, backends]``; learned weights, over the classes by their share of requests.
        drifts: changes that the learner noticed.
        source: of the requests, in words.
        stand_in: whether a generated stand-in took a trace's place.
        skipped: malformed lines of the trace that were left out.
        wall_s: seconds it took to simulate.
        learned: what the learner knew at the end; None where nothing learned.
    """

    scenario: str
    policy: str
    seed: int
    options: str
    warmup_s: float
    duration_s: float
    classes: Sequence[str]
    backends: Sequence[str]
    capacity: Array
    utilisation: float
    rate: float
    speedup: float
    log: Array
    troubles: Sequence[Trouble] = ()
    changes: Sequence[Change] = ()
    bars: Sequence[Bar] = ()
    weights_s: Array = field(default_factory=lambda: np.zeros(0))
    weights: Array = field(default_factory=lambda: np.zeros((0, 0)))
    drifts: int = 0
    source: str = ""
    stand_in: bool = False
    skipped: int = 0
    wall_s: float = 0.0
    learned: Checkpoint | None = None

    @property
    def requests(self) -> Array:
        """The last attempt at each request that counts: those that arrived after the warm-up."""
        counts: Array = (self.log["last"] == 1) & (self.log["arrived_s"] >= self.warmup_s)
        return np.asarray(self.log[counts])

    def frame(self) -> "pd.DataFrame":
        """Every attempt as a row, with names in place of numbers and latencies in milliseconds."""
        import pandas as pd

        from smartlb.core.outcome import Outcome

        log = self.log
        nobody = log["backend"] == NO_BACKEND
        names = np.array([*self.backends, ""], dtype=object)
        return pd.DataFrame(
            {
                "request": log["request"],
                "arrived_s": log["arrived_s"],
                "router": log["router"],
                "request_class": np.array(self.classes, dtype=object)[log["request_class"]],
                "backend": names[np.where(nobody, len(self.backends), log["backend"])],
                "attempt": log["attempt"],
                "last": log["last"] == 1,
                "in_flight": log["in_flight"],
                "queued_ms": log["queued_s"] * 1e3,
                "first_byte_ms": log["first_byte_s"] * 1e3,
                "total_ms": log["total_s"] * 1e3,
                "latency_ms": latency_s(log) * 1e3,
                "status": log["status"],
                "outcome": np.array([outcome.label for outcome in Outcome], dtype=object)[log["outcome"]],
                "failed": failed(log),
            }
        )


def latency_s(log: Array) -> Array:
    """From a request's arrival to the end of each of its attempts, in seconds."""
    return np.asarray(log["queued_s"].astype(np.float64) + log["total_s"])


def failed(log: Array) -> Array:
    """Which attempts failed, from the client's point of view: by their backend, or because there was none."""
    return np.asarray(failures(log) | (log["status"] >= 500))

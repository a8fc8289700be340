"""What the admin API reads: the parts of a running router, as the supervisor holds them."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from smartlb.admin.access_log import AccessLog
from smartlb.admin.traffic import Traffic
from smartlb.config.model import Config
from smartlb.config.numbering import GONE, Numbering, Renumbering
from smartlb.control.discovery.discovery import Discovery
from smartlb.control.ejection import Ejector
from smartlb.control.eligibility import Eligibility
from smartlb.control.generation import Generation
from smartlb.control.health import HealthChecker
from smartlb.core.segment import Segment
from smartlb.core.snapshot import Snapshot
from smartlb.policies.learned import POLICY as LEARNED


class NotReloaded(Exception):
    """The configuration was not applied, and nothing has changed.

    Attributes:
        problems: everything that is wrong with it, or why it could not be applied.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(slots=True, kw_only=True)
class ProcessStatus:
    """One process that the supervisor keeps running.

    Attributes:
        pid: None while there is no process.
        alive: whether it runs and shows life.
        restarts: times it ended without being asked to.
    """

    pid: int | None = None
    alive: bool = False
    restarts: int = 0


@dataclass(slots=True, kw_only=True)
class RouterState:
    """A running router; the supervisor fills it and may replace any part at any time.

    Attributes:
        workers: in the order of the segment's rows.
        learner: None where no pool uses the learned policy.
        telemetry_lost: records overwritten before the supervisor read them, so far.
        started_s: when the supervisor started, by `clock`.
        clock: monotonic time in seconds.
        access_log: None where none is written.
        reload: applies the configuration file as it is now, or raises `NotReloaded`; None where there is no file.
        generation: counts the configurations that were applied, from 1.
        draining: earlier generations whose last requests are under way.
        reload_failed: whether the last reload was refused.
        discovery: finds the backends of pools that have `discovery`.
        handing_over: whether another process is taking over, to which changes made here would be unknown.
        errors: of the supervisor that nobody foresaw, so far, by duty.
    """

    config: Config
    numbering: Numbering
    segment: Segment
    traffic: Traffic
    eligibility: Eligibility
    health: HealthChecker | None
    ejector: Ejector
    workers: list[ProcessStatus]
    learner: ProcessStatus | None
    telemetry_lost: Callable[[], int]
    started_s: float
    clock: Callable[[], float]
    access_log: AccessLog | None = None
    reload: Callable[[], Awaitable[None]] | None = None
    generation: int = 1
    draining: list[Generation] = field(default_factory=list)
    reload_failed: bool = False
    discovery: Discovery | None = None
    handing_over: bool = False
    errors: Mapping[str, int] = field(default_factory=dict)
    _snapshot: tuple[Segment, Snapshot] | None = field(default=None, init=False, repr=False)

    def snapshot(self) -> Snapshot | None:
        """The learner's latest snapshot, or the one before while it is being replaced; None without any."""
        latest = self.segment.snapshot.read()
        if latest is not None:
            self._snapshot = (self.segment, latest)
        elif self._snapshot is not None and self._snapshot[0] is not self.segment:
            self._snapshot = None
        return self._snapshot[1] if self._snapshot else None

    def learned(self, pool: str) -> bool:
        """Whether a pool uses the learned policy."""
        return self.config.pools[pool].policy.name == LEARNED.name

    def in_flight(self) -> list[int]:
        """Requests at each backend now, over all workers, those of earlier generations included."""
        counts = self.segment.in_flight.sum(axis=0).tolist()
        for earlier in self.draining:
            own = earlier.segment.in_flight.sum(axis=0).tolist()
            for place, count in zip(Renumbering(earlier.numbering, self.numbering).backends, own, strict=True):
                if place != GONE:
                    counts[place] += count
        return [max(0, count) for count in counts]

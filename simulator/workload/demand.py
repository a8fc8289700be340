"""What a run knows of its requests beforehand, and how it gets them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from simulator.streams import Stream
from simulator.workload.request import Requests

ROWS = 16_384
"""Requests that are handed over at once."""


@dataclass(frozen=True, slots=True)
class ClassDemand:
    """A class of requests.

    Attributes:
        name: in reports.
        share: of all requests.
        work_s: mean work.
        first_s: mean part of it until the response's first byte.
    """

    name: str
    share: float
    work_s: float
    first_s: float


class Demand(ABC):
    """A workload ready to be run, as often as wanted.

    Attributes:
        source: what it is, in a sentence for a report.
        classes: in the order of `request_class`.
        rate: requests a second as recorded; None for what is generated, which has no rate of its own.
        count: how many requests there are; None where there is no end.
        span_s: time as recorded from the first to the last; None likewise.
        skipped: malformed lines of a trace.
    """

    source: str
    classes: tuple[ClassDemand, ...]
    rate: float | None = None
    count: int | None = None
    span_s: float | None = None
    skipped: int = 0

    @property
    def work_s(self) -> float:
        """Mean work of a request."""
        return sum(of.share * of.work_s for of in self.classes)

    @property
    def first_s(self) -> float:
        """Mean part of a request's work until the response's first byte."""
        return sum(of.share * of.first_s for of in self.classes)

    @abstractmethod
    def requests(
        self,
        rate: float,
        duration_s: float,
        stream: Stream,
        routers: int = 1,
        rows: int = ROWS,
        unread: frozenset[str] = frozenset(),
    ) -> Iterator[Requests]:
        """The requests that come within a time, in order.

        Args:
            rate: requests a second, as the arrival process understands it; a trace's times are scaled so that its
                mean rate is this one (its own `Demand.rate` replays it as recorded).
            duration_s: when to stop; a trace may end before.
            stream: random generators by name; see `simulator.streams`.
            routers: over how many routers the requests are spread.
            rows: how many requests are handed over at once; it changes nothing about them.
            unread: which of `client`, `url`, `fail_draw` and `tail_draw` nobody looks at; they are left at 0.

        Returns:
            Arrays of `rows` requests, of `simulator.workload.request.REQUEST`; the last may have fewer, none is empty.

        Raises:
            TraceError: a trace cannot be read on.
        """

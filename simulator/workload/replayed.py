"""Recorded requests: a section of a scenario, and what streams them."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator

from simulator.streams import Stream
from simulator.workload.block import Block
from simulator.workload.chance import Chance
from simulator.workload.cost import Cost, Floats, at_least
from simulator.workload.demand import ROWS, ClassDemand, Demand
from simulator.workload.distinct import distinct
from simulator.workload.generated import GeneratedWorkload
from simulator.workload.ordering import in_order, of_size
from simulator.workload.popularity import HashKeys, Visitors
from simulator.workload.request import REQUEST, Requests
from simulator.workload.rules import Classifier, ClassRule, Indices
from simulator.workload.traces.entry import Entry
from simulator.workload.traces.reading import TraceError, TraceReport
from simulator.workload.traces.source import Trace, TraceSource

_BLOCK = 8192  # requests that become arrays at once


class ReplayedTrace(TraceSource):
    """A trace, and what may stand in for it."""

    stand_in: GeneratedWorkload | None = Field(
        default=None, description="Generated requests with the trace's statistics, for those who do not have it."
    )


class ReplayedWorkload(Visitors):
    """Requests of a trace. Clients and URLs are drawn for requests of which the trace does not tell them."""

    trace: ReplayedTrace = Field(description="Where it is, and how it is read.")
    cost: Cost = Field(
        default=Cost(per_recorded_second=1.0), description="What becomes work; a request's duration where not given."
    )
    classes: list[ClassRule] = Field(
        default=[],
        max_length=256,
        description="Kinds of requests; the first that fits is taken, then the trace's own, then `default`.",
    )

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: list[ClassRule]) -> list[ClassRule]:
        distinct(of.name for of in classes)
        return classes


class Replayed(Demand):
    """A trace that was read once, for its statistics, and can be replayed.

    Args:
        section: of the scenario.
        folder: that of the scenario's file.
        stream: random generators by name.

    Raises:
        TraceError: the trace is not there, cannot be read, or holds too little.

    Attributes:
        report: what was met and left out.
    """

    report: TraceReport
    count: int
    span_s: float
    rate: float

    def __init__(self, section: ReplayedWorkload, folder: Path, stream: Stream) -> None:
        self._section = section
        self._trace = Trace(section.trace, folder)
        self._classifier = Classifier(section.classes, self._trace.path)
        self._needs_duration = any(cost.per_recorded_second for cost in self._costs())
        begin_s, end_s = np.inf, -np.inf
        counts, work_s, first_s = (np.zeros(0) for _ in range(3))
        entries, self.report = self._trace.entries(stream("trace"), self._needs_duration)
        for requests in self._blocks(entries, stream, survey=True):
            begin_s = min(begin_s, float(requests["at_s"].min()))
            end_s = max(end_s, float(requests["at_s"].max()))
            of = requests["request_class"]
            size = len(self._classifier.names)
            counts = _sum(counts, np.bincount(of, np.ones(len(of)), size))
            work_s = _sum(work_s, np.bincount(of, requests["work_s"], size))
            first_s = _sum(first_s, np.bincount(of, requests["first_s"], size))
        self.count = int(counts.sum())
        self.span_s = end_s - begin_s
        if not self.span_s > 0:
            raise TraceError(
                f"{self._trace.path}: {self.count} request{'s' * (self.count != 1)} in no time at all; a replay needs "
                "two or more, apart in time"
            )
        self.rate = (self.count - 1) / self.span_s
        mean = np.maximum(counts, 1)
        self.classes = tuple(
            ClassDemand(*values)
            for values in zip(
                self._classifier.names,
                (counts / self.count).tolist(),
                (work_s / mean).tolist(),
                (first_s / mean).tolist(),
                strict=True,
            )
        )
        self.skipped = self.report.malformed
        self.source = f"trace: {self.report}"

    def requests(
        self,
        rate: float,
        duration_s: float,
        stream: Stream,
        routers: int = 1,
        rows: int = ROWS,
        unread: frozenset[str] = frozenset(),
    ) -> Iterator[Requests]:
        """The trace's requests that come before `duration_s`, faster or slower; see `Demand.requests`."""
        speedup = rate / self.rate
        return of_size(self._scaled(speedup, duration_s, stream, Chance(stream, routers, unread), unread), rows)

    def _scaled(
        self, speedup: float, duration_s: float, stream: Stream, chance: Chance, unread: frozenset[str]
    ) -> Iterator[Requests]:
        section = self._section
        visitors = section.visitors(stream, unread)
        entries, _ = self._trace.entries(stream("trace"), self._needs_duration)
        late_s = section.trace.reorder_s + self._trace.format.tick_s
        begin_s: float | None = None
        for requests in in_order(self._blocks(entries, stream, survey=False, unread=unread), late_s, ROWS):
            begin_s = float(requests["at_s"][0]) if begin_s is None else begin_s
            requests["at_s"] = (requests["at_s"] - begin_s) / speedup
            for column, popular, rng in visitors:
                keys = requests[column]
                np.copyto(keys, popular.draw(rng, len(requests)), where=keys == 0)
            chance.fill(requests)
            within = int(np.searchsorted(requests["at_s"], duration_s))
            if within:
                yield requests[:within]
            if within < len(requests):
                return

    def _blocks(
        self, entries: Iterator[Entry], stream: Stream, survey: bool, unread: frozenset[str] = frozenset()
    ) -> Iterator[Requests]:
        """The trace in its own order and time, with the columns that it tells; a key of 0 is not known.

        A survey needs neither keys nor noise.
        """
        ticks = stream("ticks")
        tick_s = self._trace.format.tick_s
        noisy = any(cost.noise_sigma for cost in self._costs())
        normals = stream("noise") if noisy and not survey else None
        hashes = HashKeys()
        while listed := list(islice(entries, _BLOCK)):
            block = Block(listed)
            requests = np.zeros(len(block), REQUEST)
            requests["at_s"] = block.at_s + (tick_s * ticks.random(len(block)) if tick_s else 0.0)
            requests["request_class"] = self._classifier.classes(block)
            for column, texts in () if survey else (("client", block.clients), ("url", block.targets)):
                if column not in unread:
                    requests[column] = [hashes[text] for text in texts]
            self._price(block, requests, None if normals is None else normals.standard_normal(len(block)))
            yield requests

    def _costs(self) -> Iterator[Cost]:
        yield self._section.cost
        yield from (of.cost for of in self._section.classes if of.cost)

    def _price(self, block: Block, requests: Requests, normals: Floats | None) -> None:
        """Fill in work, with noise where there are numbers for it."""

        def price(cost: Cost, mine: Indices | slice) -> None:
            work_s, first_s = cost.seconds(block)
            factor = 1.0 if normals is None else cost.noise(normals)
            for column, amount in (("work_s", work_s), ("first_s", first_s)):
                requests[column][mine] = np.broadcast_to(amount * factor, len(block))[mine]

        price(self._section.cost, slice(None))
        for number, of in enumerate(self._section.classes):
            if of.cost:
                price(of.cost, np.flatnonzero(requests["request_class"] == number))
        at_least(requests)


def _sum(totals: Floats, further: npt.NDArray[Any]) -> Floats:
    """The sum of arrays, of which the second may be longer."""
    return further + np.pad(totals, (0, len(further) - len(totals)))

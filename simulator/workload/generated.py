"""Generated requests: a section of a scenario, and what streams them."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from pydantic import Field, field_validator, model_validator

from simulator.streams import Stream
from simulator.workload.arrivals.poisson import Poisson
from simulator.workload.arrivals.process import Times
from simulator.workload.arrivals.registry import Arrivals
from simulator.workload.chance import Chance
from simulator.workload.cost import Cost, Floats, at_least
from simulator.workload.demand import ROWS, ClassDemand, Demand
from simulator.workload.distinct import distinct
from simulator.workload.popularity import Visitors
from simulator.workload.request import REQUEST, Requests
from simulator.workload.work.registry import TokensOf, WorkOf
from smartlb.config.model import Section
from smartlb.config.values import Name


class Tokens(NamedTuple):
    """Tokens of requests, or their means; nothing else is known of generated requests."""

    input_tokens: Floats | float
    output_tokens: Floats | float
    kilobytes: float = 0.0
    duration_s: float = 0.0


class TokensPerRequest(Section):
    """How many tokens the requests of a class have."""

    input: TokensOf = Field(description="Tokens read.")
    output: TokensOf = Field(description="Tokens generated.")


class GeneratedClass(Section):
    """A kind of request, with its share and its work."""

    name: Name = Field(description="Shown in reports.")
    share: float = Field(default=1.0, gt=0, le=1e6, description="Share of requests, relative to the other classes'.")
    work: WorkOf | None = Field(default=None, description="Work of a request; or give `tokens` and `cost`.")
    tokens: TokensPerRequest | None = Field(default=None, description="Tokens of a request, which `cost` makes work.")
    cost: Cost | None = Field(default=None, description="What tokens cost.")

    @model_validator(mode="after")
    def _one_kind_of_work(self) -> "GeneratedClass":
        if (self.work is None) == (self.tokens is None):
            raise ValueError(f"class {self.name!r}: give `work`, or `tokens` with their `cost`; one of both")
        if (self.tokens is None) != (self.cost is None):
            raise ValueError(f"class {self.name!r}: `tokens` and `cost` belong together; give both or none")
        if self.cost is not None and (self.cost.per_kilobyte_ms or self.cost.per_recorded_second):
            raise ValueError(
                f"class {self.name!r}: `cost` has per_kilobyte_ms or per_recorded_second, but generated requests have "
                "neither bytes nor a recorded time; give base_ms, per_input_token_ms and per_output_token_ms"
            )
        return self

    def means(self) -> tuple[float, float]:
        """Mean work and mean part of it until the first byte."""
        if self.work is not None:
            return self.work.mean_s, self.work.mean_s
        assert self.tokens is not None
        assert self.cost is not None
        work_s, first_s = self.cost.seconds(Tokens(self.tokens.input.mean_tokens, self.tokens.output.mean_tokens))
        return float(work_s), float(first_s)

    def drawing(self, stream: Stream) -> Callable[[int], tuple[Floats, Floats]]:
        """What draws the work of the next requests of this class, and the part of it until the first byte."""
        work, tokens, cost = self.work, self.tokens, self.cost
        if work is not None:
            rng = stream(f"work.{self.name}")

            def drawn(n: int) -> tuple[Floats, Floats]:
                work_s = work.draw(rng, n)
                return work_s, work_s

            return drawn
        assert tokens is not None
        assert cost is not None
        read, written, noise = (stream(f"{part}.{self.name}") for part in ("input", "output", "noise"))

        def priced(n: int) -> tuple[Floats, Floats]:
            work_s, first_s = cost.seconds(Tokens(tokens.input.draw(read, n), tokens.output.draw(written, n)))
            factor = cost.noise(noise.standard_normal(n))
            return work_s * factor, first_s * factor

        return priced


class GeneratedWorkload(Visitors):
    """Requests that are drawn from distributions."""

    arrivals: Arrivals = Field(default=Poisson(), description="When requests come.")
    classes: list[GeneratedClass] = Field(min_length=1, max_length=256, description="Kinds of requests.")

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: list[GeneratedClass]) -> list[GeneratedClass]:
        distinct(of.name for of in classes)
        return classes


class Generated(Demand):
    """A generated workload; it has no end, and its requests cost memory only as they are taken."""

    def __init__(self, section: GeneratedWorkload) -> None:
        total = sum(of.share for of in section.classes)
        self._section = section
        self.classes = tuple(ClassDemand(of.name, of.share / total, *of.means()) for of in section.classes)
        self.source = (
            f"generated: {section.arrivals.kind} arrivals, classes {', '.join(of.name for of in self.classes)}"
        )

    def requests(
        self,
        rate: float,
        duration_s: float,
        stream: Stream,
        routers: int = 1,
        rows: int = ROWS,
        unread: frozenset[str] = frozenset(),
    ) -> Iterator[Requests]:
        """The requests that come before `duration_s`; see `Demand.requests`."""
        section = self._section
        classes = stream("classes")
        visitors = section.visitors(stream, unread)
        up_to = np.cumsum([of.share for of in self.classes])[:-1]
        drawing = [of.drawing(stream) for of in section.classes]
        chance = Chance(stream, routers, unread)
        for at_s in _until(duration_s, section.arrivals.times(rate, stream("arrivals"), rows)):
            requests = np.zeros(len(at_s), REQUEST)
            requests["at_s"] = at_s
            requests["request_class"] = of_class = np.searchsorted(up_to, classes.random(len(at_s)), side="right")
            for index, draw in enumerate(drawing):
                mine = np.flatnonzero(of_class == index)
                requests["work_s"][mine], requests["first_s"][mine] = draw(len(mine))
            for column, popular, rng in visitors:
                requests[column] = popular.draw(rng, len(at_s))
            chance.fill(requests)
            at_least(requests)
            yield requests


def _until(end_s: float, chunks: Iterator[Times]) -> Iterator[Times]:
    for times in chunks:
        if times[-1] >= end_s:
            if len(rest := times[: np.searchsorted(times, end_s)]):
                yield rest
            return
        yield times

"""Moves what generations say to where it counts: telemetry to the counters and to ejection, discovery to positions."""

import asyncio
import gc
import logging
from collections.abc import Iterable, Mapping
from time import monotonic

import numpy as np

from smartlb.admin.access_logs import AccessLogs
from smartlb.admin.state import ProcessStatus, RouterState
from smartlb.admin.traffic import Traffic
from smartlb.config.model import Backend
from smartlb.config.numbering import Member, Renumbering
from smartlb.control.generation import Generation
from smartlb.process.guard import Guard
from smartlb.supervisor.children import look_after_all
from smartlb.supervisor.generations import Generations

log = logging.getLogger(__name__)

_PUMP_S = 0.05
"""Between two readings of the telemetry; an ejection comes at most this long after its cause."""

_REST_EVERY_S = 0.5
"""Between two looks at whether positions of backends that are gone can be given anew."""


class Pump:
    """What the supervisor does all the time.

    Args:
        generations: whose telemetry is read.
        state: of the router, which it keeps up to date.
        access_logs: of the generations.
        guard: around each part of each turn.
    """

    def __init__(self, generations: Generations, state: RouterState, access_logs: AccessLogs, guard: Guard) -> None:
        self._generations = generations
        self._state = state
        self._access_logs = access_logs
        self._guard = guard
        self._lost = 0
        self._rest_at_s = 0.0

    @property
    def lost(self) -> int:
        """Records that were overwritten before they were read, so far."""
        return self._lost + sum(each.lost for each in self._generations)

    async def run(self) -> None:
        """Go on until cancelled."""
        while True:
            self.turn()
            now_s = monotonic()
            if now_s >= self._rest_at_s:
                self._rest_at_s = now_s + _REST_EVERY_S
                self._rest()
            if self._let_go_of_ended():
                gc.collect()  # generations hold much, and are in cycles: the collector would come by after hours
            await asyncio.sleep(_PUMP_S)

    def turn(self) -> None:
        """Take in what there is now."""
        now_s, present, guard = monotonic(), self._generations.present, self._guard
        for generation in self._generations:
            self._count(generation, now_s)
        with guard("the end of ejections"):
            for index in present.backends.ejector.release(now_s):
                present.backends.eligibility.set_ejected(index, False)
        for generation in [*self._generations.starting, *self._generations.draining]:
            with guard("eligibility"):
                generation.backends.follow(present.backends)
        look_after_all(present, self._state.workers, self._state.learner, now_s, guard)

    def _count(self, generation: Generation, now_s: float) -> None:
        """Take in what a generation's workers have recorded."""
        present, traffic, guard = self._generations.present, self._state.traffic, self._guard
        with guard("telemetry"):
            telling = records = generation.records()
            if generation is not present and len(records):
                places = Renumbering(generation.numbering, present.numbering)
                # What a backend's name did at another address says nothing of the one that has the name now.
                telling = places.records(records[np.isin(records["backend"], [old for old, _ in places.servers])])
                traffic.add_outcomes(places.left_out(records))
                records = places.records(records)
            with guard("counting requests"):
                traffic.add(records, now_s)
            with guard("ejection"):
                for ejected in present.backends.ejector.observe(telling, now_s):
                    present.backends.eligibility.set_ejected(ejected.index, True, ejected.reason)
                    member = present.numbering.backends[ejected.index]
                    log.warning("pool %s: backend %s ejected: %s", member.pool, member.settings.label, ejected.reason)

    def take_found(self, found: Mapping[str, list[Backend]]) -> None:
        """Let every generation have the backends that discovery has found, by pool."""
        for generation in self._generations:
            with self._guard("discovery"):
                self._forget(generation, generation.find(found))

    def _rest(self) -> None:
        """Free the positions of backends that are gone."""
        for generation in self._generations:
            with self._guard("discovery"):
                self._forget(generation, generation.rest())

    def _forget(self, generation: Generation, new: Iterable[Member]) -> None:
        """Count from nothing what new backends do."""
        if generation is self._generations.present:
            for member in new:
                self._state.traffic.forget(member.index)

    def switch_to(self, generation: Generation) -> None:
        """Let a generation that is ready take over; the present one drains."""
        self.turn()  # what has been counted so far is carried over
        state, earlier = self._state, self._generations.present
        traffic = Traffic(generation.numbering, generation.config.learner.latency)
        traffic.take_over(state.traffic, Renumbering(earlier.numbering, generation.numbering))
        generation.backends.take_over(earlier.backends)
        self._generations.supersede(generation)
        state.config, state.numbering, state.segment = generation.config, generation.numbering, generation.segment
        state.traffic = traffic
        state.eligibility, state.health = generation.backends.eligibility, generation.backends.health
        state.ejector = generation.backends.ejector
        state.workers = [ProcessStatus() for _ in generation.workers]
        state.learner = ProcessStatus() if generation.learner else None
        state.access_log = self._access_logs.of(generation)
        state.generation += 1
        state.reload_failed = False
        look_after_all(generation, state.workers, state.learner, monotonic(), self._guard)
        generation.present()
        earlier.retire()

    def let_go(self, generation: Generation) -> None:
        """Read what a generation has left, once its processes have ended."""
        self._count(generation, monotonic())
        with self._guard("letting go of the access log"):
            self._access_logs.let_go(generation)
        self._lost += generation.lost
        self._generations.forget(generation)

    def _let_go_of_ended(self) -> bool:
        """Let go of generations that have drained; False where there is none."""
        ended = self._generations.ended()
        for generation in ended:
            with self._guard("letting go of a generation"):
                self.let_go(generation)
        return bool(ended)

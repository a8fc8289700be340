"""Active health checks and ejection in simulated time, by the router's own rules."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from simulator.agenda import Agenda
from simulator.faults.condition import Condition
from simulator.result import Bar
from smartlb.config.model import Ejection, HealthCheck
from smartlb.control.ejection import Ejector
from smartlb.control.rise_fall import RiseFall
from smartlb.core.record import Records

Mask = npt.NDArray[np.bool_]

PUMP_S = 0.05
"""Between two looks of the router's supervisor at the telemetry."""


class Checks:
    """Says which backends may be picked.

    Args:
        conditions: of each backend; read at each check.
        health_check: None for no active checks.
        ejection: None for no passive ones.
        agenda: where the active checks go.
        rng: spreads them over their interval.
        on_change: called when something about `eligible` has changed.

    Attributes:
        eligible: bool ``[backends]``.
        bars: what happened so far.
    """

    def __init__(
        self,
        conditions: Sequence[Condition],
        health_check: HealthCheck | None,
        ejection: Ejection | None,
        agenda: Agenda,
        rng: np.random.Generator,
        on_change: Callable[[], None],
    ) -> None:
        count = len(conditions)
        self._conditions = conditions
        self._unhealthy, self._ejected = np.zeros(count, bool), np.zeros(count, bool)
        self._ejector = Ejector([(range(count), ejection)])
        self._agenda = agenda
        self._on_change = on_change
        self.bars: list[Bar] = []
        if health_check is not None:
            self._check = health_check
            self._states = [RiseFall(health_check.rise, health_check.fall) for _ in range(count)]
            for backend in range(count):
                self._look(backend, 0.0)
                interval_s = health_check.interval_s
                agenda.every(interval_s, partial(self._look, backend), float(rng.random()) * interval_s)

    @property
    def eligible(self) -> Mask:
        """Which are in the pool, healthy, and not ejected."""
        absent = np.array([condition.absent for condition in self._conditions])
        return ~(absent | self._unhealthy | self._ejected)

    def _look(self, backend: int, now_s: float) -> None:
        condition = self._conditions[backend]
        if condition.passes_checks or condition.crashed:
            self._take_in(backend, condition.passes_checks, now_s)
        else:
            # Nothing answers: it fails by its timeout, unless the backend wakes up before.
            self._agenda.at(now_s + self._check.timeout_s, partial(self._look_again, backend))

    def _look_again(self, backend: int, now_s: float) -> None:
        self._take_in(backend, self._conditions[backend].passes_checks, now_s)

    def _take_in(self, backend: int, passed: bool, now_s: float) -> None:
        state = self._states[backend]
        if state.observe(passed):
            self._set(self._unhealthy, backend, not passed, now_s, f"{state.state}: {state.run} checks in a row")

    def take_records(self, records: Records, now_s: float) -> None:
        """Eject and release by what live requests showed."""
        for backend in self._ejector.release(now_s):
            self._set(self._ejected, backend, False, now_s, "ejection over")
        for ejected in self._ejector.observe(records, now_s):
            self._set(self._ejected, ejected.index, True, now_s, ejected.reason)

    def _set(
        self,
        which: Mask,
        backend: int,
        barred: bool,
        now_s: float,
        reason: str,
    ) -> None:
        if bool(which[backend]) is barred:
            return
        which[backend] = barred
        self.bars.append(Bar(now_s, backend, not barred, reason))
        self._on_change()

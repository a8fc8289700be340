"""One run: the kernel, and around it what the router does off the data path."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf
from time import perf_counter
from typing import Any

import numpy as np

from simulator.agenda import Agenda
from simulator.checks import PUMP_S, Checks
from simulator.contenders import Contender
from simulator.faults.condition import WELL, Change
from simulator.kernel.backend import change
from simulator.kernel.calling import prepare
from simulator.kernel.compiling import entry
from simulator.kernel.loop import JOBS_FULL, LOG_FULL, REACHED, WANTS_REQUESTS, run_until
from simulator.kernel.state import Array, make_state, with_more_jobs, with_more_log
from simulator.plan import Plan
from simulator.references.reference import Reference
from simulator.result import Run
from simulator.telemetry import Reader
from simulator.workload.request import REQUEST, Requests
from smartlb.core.snapshot import Snapshot
from smartlb.core.view import PoolView, explore_sums, running_sums
from smartlb.learning.checkpoint import Checkpoint, Names
from smartlb.learning.learner import Learner, LearnerSettings
from smartlb.policies.policy import Members

Progress = Callable[[float], None]
"""``progress(share)`` is told now and then how much of a run is done."""


POOL = "fleet"
"""What the fleet is called in checkpoints; of one with a single pool, that is taken whatever its name."""

_ANY = "any"
"""The only class that a learner knows which is blind to classes."""


def simulate(
    plan: Plan,
    contender: Contender,
    options: str = "",
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> Run:
    """Run a contender.

    Args:
        plan: the scenario and seed.
        contender: what picks.
        options: what was changed, for the report.
        progress: told how far the run is.
        checkpoint: what the learner knows at the start; means nothing to what does not learn.

    Raises:
        CheckpointError: it says nothing of this fleet.
    """
    return _Simulation(plan, contender, progress, checkpoint).run(options)


def _of_one_class(records: Array) -> Array:
    """The records as of a router without request classes."""
    alike = records.copy()
    alike["request_class"] = 0
    return alike


def _for_all_classes(snapshot: Snapshot, classes: int) -> Snapshot:
    """A snapshot in which every class has the claims of the only one that was learned."""
    every = partial(np.repeat, repeats=classes, axis=0)
    return replace(
        snapshot,
        weight=every(snapshot.weight),
        explore=every(snapshot.explore),
        base_s=every(snapshot.base_s),
        slope_s=every(snapshot.slope_s),
        error_rate=every(snapshot.error_rate),
    )


def _expected(plan: Plan) -> int:
    """Attempts that a run's log should have room for."""
    requests = plan.rate * plan.scenario.duration_s
    if plan.demand.count is not None:
        requests = min(requests, plan.demand.count)
    return int(1.05 * requests) + 10_000


class _Simulation:
    def __init__(
        self, plan: Plan, contender: Contender, progress: Progress | None, checkpoint: Checkpoint | None
    ) -> None:
        scenario = plan.scenario
        routers = scenario.routers
        apart = routers.count > 1 and not routers.share_in_flight
        if apart:
            contender = contender.among(routers.count)
        self._sight = 1.0 / routers.count if apart else 1.0
        self._plan = plan
        self._contender = contender
        self._progress = progress
        size = len(plan.fleet)
        weight = plan.capacity / plan.capacity.mean() if contender.told else [backend.weight for backend in plan.fleet]
        self._weight = np.array(weight, dtype=np.float64)
        members = Members([backend.name for backend in plan.fleet], self._weight.tolist())
        self._snapshot: Snapshot | None = None
        self._routing = prepare(contender.policy, contender.options, members, routers.count)
        self._random = plan.stream("policy")
        self._state = make_state(
            [backend.server for backend in plan.fleet],
            routers=routers.count,
            shared=routers.share_in_flight,
            timeout_s=scenario.timeout_s,
            by_url=contender.policy.key == "url",
            tracked=isinstance(contender.policy, Reference),
            drawn=self._routing.drawn,
            attempts=_expected(plan),
        )
        self._conditions = [WELL] * size
        self._agenda = agenda = Agenda()
        for each in plan.changes:
            agenda.at(each.at_s, self._changing(each))
        self._checks = Checks(
            self._conditions, scenario.health_check, scenario.ejection, agenda, plan.stream("health"), self._look_anew
        )
        delay_s = routers.telemetry_delay_s
        if scenario.ejection is not None:
            self._for_ejection = Reader(delay_s)
            agenda.every(PUMP_S, self._eject, PUMP_S)
        self._weights_s: list[float] = []
        self._weights: list[Array] = []
        if contender.learns:
            section = scenario.learner
            settings = LearnerSettings(
                **section.model_dump(exclude={"interval_s", "stale_after_s", "checkpoint"}),
            )
            self._share = np.array([kind.share for kind in plan.demand.classes])
            classes = [_ANY] if contender.blind else [kind.name for kind in plan.demand.classes]
            self._learner = Learner([range(size)], len(classes), settings, apart=apart)
            self._for_learner = Reader(delay_s)
            agenda.every(section.interval_s, self._learn)
            pools = checkpoint.pools if checkpoint is not None else {}
            pool = next(iter(pools)) if len(pools) == 1 else POOL
            self._names = Names(classes, {pool: [backend.name for backend in plan.fleet]})
            if checkpoint is not None:
                self._learner.recall(checkpoint, self._names)
                self._learn(0.0)
        self._look_anew()

    def run(self, options: str) -> Run:
        """All of it."""
        plan, scenario = self._plan, self._plan.scenario
        chunks = plan.demand.requests(
            plan.rate, scenario.duration_s, plan.stream, scenario.routers.count, unread=self._unread()
        )
        chunk: Requests = np.zeros(0, REQUEST)
        more = True
        advance = entry(run_until, inf, chunk, more, self._routing, self._random, self._state)
        started_s = perf_counter()  # what had to be compiled is so by now
        while True:
            status = advance(self._agenda.next_s, chunk, more, self._routing, self._random, self._state)
            if status == WANTS_REQUESTS:
                following = next(chunks, None)
                more = following is not None
                if following is not None:
                    chunk = following
                    self._state.clock["at"] = 0
                    self._tell(float(chunk["at_s"][0]) / scenario.duration_s)
            elif status == LOG_FULL:
                self._state = with_more_log(self._state)
            elif status == JOBS_FULL:
                self._state = with_more_jobs(self._state)
            else:
                assert status == REACHED
                if not more and not self._state.in_flight.any():
                    break
                self._agenda.run_due()
        self._tell(1.0)
        return Run(
            scenario=plan.name,
            policy=self._contender.name,
            seed=plan.seed,
            options=options,
            warmup_s=scenario.warmup_s,
            duration_s=min(scenario.duration_s, float(self._state.clock["now_s"][0])),
            classes=[kind.name for kind in plan.demand.classes],
            backends=[backend.name for backend in plan.fleet],
            capacity=plan.capacity,
            utilisation=plan.utilisation,
            rate=plan.rate,
            speedup=plan.speedup,
            log=self._state.log[: int(self._state.clock["logged"][0])],
            troubles=plan.troubles,
            changes=plan.changes,
            bars=self._checks.bars,
            weights_s=np.array(self._weights_s),
            weights=np.array(self._weights).reshape(len(self._weights), len(plan.fleet) if self._weights else 0),
            drifts=self._snapshot.drifts if self._snapshot is not None else 0,
            source=plan.demand.source,
            stand_in=plan.stand_in,
            skipped=plan.demand.skipped,
            wall_s=perf_counter() - started_s,
            learned=self._learner.memory(self._names) if self._contender.learns else None,
        )

    def _unread(self) -> frozenset[str]:
        """Columns of the requests that nothing in this run looks at."""
        key = {"client_ip": "client", "url": "url"}.get(self._contender.policy.key)
        conditions = [change.condition for change in self._plan.changes]
        read = {
            key,
            "fail_draw" if any(condition.fail for condition in conditions) else None,
            "tail_draw" if any(condition.tail for condition in conditions) else None,
        }
        return frozenset({"client", "url", "fail_draw", "tail_draw"} - read)

    def _tell(self, share: float) -> None:
        if self._progress is not None:
            self._progress(share)

    # What happens off the data path

    def _changing(self, each: Change) -> Callable[[float], None]:
        def duty(now_s: float) -> None:
            before, condition = self._conditions[each.backend], each.condition
            self._conditions[each.backend] = condition
            change(
                self._state,
                each.backend,
                now_s,
                condition.speed,
                condition.crashed,
                condition.hanging,
                condition.fail,
                condition.tail,
                condition.tail_factor,
            )
            if condition.absent is not before.absent:
                self._look_anew()

        return duty

    def _eject(self, now_s: float) -> None:
        self._checks.take_records(self._for_ejection.read(self._state, now_s), now_s)

    def _learn(self, now_s: float) -> None:
        records = self._for_learner.read(self._state, now_s)
        in_flight = self._state.in_flight.sum(axis=0, dtype=np.float64)
        if self._contender.blind:
            records = _of_one_class(records)
        snapshot = self._learner.update(records, now_s, in_flight)
        if self._contender.blind:
            snapshot = _for_all_classes(snapshot, len(self._share))
        self._snapshot = snapshot
        self._weights_s.append(now_s)
        self._weights.append(self._share @ snapshot.weight)
        self._look_anew()

    def _look_anew(self) -> None:
        """The routers take in who may be picked, and the latest snapshot."""
        self._routing = self._routing._replace(pool=self._view())

    def _view(self) -> PoolView:
        eligible, snapshot = self._checks.eligible, self._snapshot
        parts: dict[str, Any] = {
            "eligible": np.flatnonzero(eligible).astype(np.int32),
            "barred": np.where(eligible, 0.0, inf),
            "in_flight": np.zeros(0, np.int32),  # the kernel has each router's own
            "weight": self._weight,
            "draw": np.zeros(0) if snapshot is None else running_sums(snapshot.weight, eligible),
            "explore": np.zeros(0) if snapshot is None else explore_sums(snapshot.explore, eligible),
            "base_s": np.zeros(0) if snapshot is None else snapshot.base_s.ravel(),
            "sight": self._sight,
            "slope_s": np.zeros(0) if snapshot is None else snapshot.slope_s.ravel(),
        }
        return PoolView(**parts)

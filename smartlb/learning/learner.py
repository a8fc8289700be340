"""The learner: telemetry in, snapshots out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from math import isnan
from typing import Any

import numpy as np
import numpy.typing as npt

from smartlb import __version__
from smartlb.core.record import Records
from smartlb.core.snapshot import Snapshot
from smartlb.learning.cells import DropReason, Latency, Matrix, sift, tally
from smartlb.learning.checkpoint import Checkpoint, Names, Recalled, check_fit
from smartlb.learning.classes import Slots
from smartlb.learning.pool import PoolLearner
from smartlb.learning.registry import DRIFT_DETECTORS, ERROR_MODELS, LATENCY_MODELS


@dataclass(frozen=True, slots=True)
class LearnerSettings:
    """How to learn; names are those of `smartlb.learning.registry`.

    Attributes:
        latency: which latency is learned: to the response's first byte, or to its end.
        latency_model: a key of `LATENCY_MODELS`.
        error_model: a key of `ERROR_MODELS`.
        drift_detector: a key of `DRIFT_DETECTORS`.
        exploration_floor: least weight of a backend, as a share of its fair share; above 0, at most 1.
        error_penalty_s: what a failed request costs beside its latency.
    """

    latency: Latency = "first_byte"
    latency_model: str = "bayesian_linear"
    error_model: str = "ewm_rate"
    drift_detector: str = "page_hinkley"
    exploration_floor: float = 0.02
    error_penalty_s: float = 1.0


Seat = tuple[int, int]
"""A backend's number, and its tenancy: which of the backends that have had the number one after the other it is."""


class Learner:
    """Learns every pool's backends from telemetry; owns no clock, and the same input gives the same snapshots.

    Args:
        pools: the index range of each pool's backends.
        classes: how many request classes there are; beyond `smartlb.learning.classes.MOST`, those with little traffic
            share a model.
        settings: how to learn.
        version: of the last snapshot that a predecessor published.
        backends: how many there are; those of no pool in `pools` are not learned, and get zeros. Where not given, the
            last pool's end.
        apart: whether the routers that get the snapshots do not see each other's requests in flight.

    Attributes:
        dropped: how many records were left out, by reason.
    """

    def __init__(
        self,
        pools: Sequence[range],
        classes: int,
        settings: LearnerSettings,
        version: int = 0,
        backends: int = 0,
        apart: bool = False,
    ) -> None:
        self._classes = classes
        self._backends = backends or max(members.stop for members in pools)
        self._latency: Latency = settings.latency
        self._settings = settings
        self._version = version
        self._samples = 0
        self._last_s: float | None = None
        self.dropped: Counter[DropReason] = Counter()
        by_pool = [Slots(classes) for _ in pools]
        self._slots = by_pool[0].count
        self._own: list[npt.NDArray[np.intp]] = [np.arange(members.start, members.stop) for members in pools]
        self._seats: list[list[Seat]] = [[(index, 1) for index in members] for members in pools]
        self._pools = [
            (
                members,
                slots,
                PoolLearner(
                    backends=len(members),
                    classes=slots.count,
                    latency_model=LATENCY_MODELS[settings.latency_model],
                    error_model=ERROR_MODELS[settings.error_model],
                    drift_detector=DRIFT_DETECTORS[settings.drift_detector],
                    exploration_floor=settings.exploration_floor,
                    error_penalty_s=settings.error_penalty_s,
                    apart=apart,
                ),
            )
            for members, slots in zip(pools, by_pool, strict=True)
        ]

    def seat(self, pool: int, seats: Sequence[Seat]) -> None:
        """Say which backends a pool has now; those of other numbers or tenancies are new, and nothing is known of them.

        What is known of those that are not among them any more is forgotten.

        Args:
            pool: number of the pool, as `pools` was given.
            seats: index and tenancy of each, ascending; may be empty.
        """
        seats = list(seats)
        self._own[pool] = np.array([index for index, _ in seats], dtype=np.intp)
        if not seats or seats == self._seats[pool]:
            return
        place = {seat: at for at, seat in enumerate(self._seats[pool])}
        self._pools[pool][2].reseat([place.get(seat) for seat in seats])
        self._seats[pool] = seats

    def update(self, records: Records, now_s: float, in_flight: Matrix | None = None) -> Snapshot:
        """Learn from the records since the last call and make the next snapshot.

        Args:
            records: of `smartlb.core.record.RECORD`; may be empty.
            now_s: a monotonic time; if it goes backwards, no time has passed.
            in_flight: ``[backends]``; requests in flight at each now, over all workers. With them a backend that hangs
                is noticed before its requests end; None where they are not known.
        """
        elapsed_s = 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        shape = (self._classes, self._backends)
        longest_s = np.zeros(self._backends)
        for members, _, pool in self._pools:
            longest_s[members.start : members.stop] = pool.longest_s
        records, dropped = sift(records, self._backends, self._classes, self._latency)
        self.dropped += dropped
        batch = tally(self._by_slot(records, elapsed_s), self._slots, longest_s, self._latency)
        weight, explore, base_s, slope_s, error_rate = (np.zeros(shape) for _ in range(5))
        for (_, slots, pool), own in zip(self._pools, self._own, strict=True):
            if not own.size:
                continue
            self._samples += int(batch.requests[:, own].sum())
            own_in_flight = None if in_flight is None else in_flight[own]
            claims = pool.update(
                batch.requests[:, own],
                batch.failures[:, own],
                [batch.cells[index] for index in own],
                elapsed_s,
                own_in_flight,
            )
            weight[:, own] = slots.spread(claims.weight)
            explore[:, own] = slots.spread(claims.explore)
            base_s[:, own] = slots.spread(claims.base_s)
            slope_s[:, own] = slots.spread(claims.slope_s)
            error_rate[:, own] = slots.spread(claims.error_rate)
        self._version += 1
        return Snapshot(
            version=self._version,
            published_s=now_s,
            weight=weight,
            explore=explore,
            base_s=base_s,
            slope_s=slope_s,
            error_rate=error_rate,
            samples=self._samples,
            drifts=sum(pool.drifts for _, _, pool in self._pools),
        )

    def _by_slot(self, records: Records, elapsed_s: float) -> Records:
        """The records with slots in place of classes."""
        if self._slots == self._classes:
            return records
        by_slot = np.array(records)
        by_slot["request_class"] = 0  # where nothing is learned
        for members, slots, pool in self._pools:
            own: Any = (records["backend"] >= members.start) & (records["backend"] < members.stop)
            request_class: Any = records["request_class"][own]
            slots.take_in(request_class, elapsed_s, partial(_blank, pool))
            by_slot["request_class"][own] = slots.of[request_class]
        return by_slot

    @property
    def samples(self) -> int:
        """Records learned from so far."""
        return self._samples

    def memory(self, names: Names, saved_unix_s: float | None = None) -> Checkpoint:
        """All that is known now.

        Args:
            names: of the classes, and of every pool's backends.
            saved_unix_s: what time it is, in seconds since 1970; None where that does not matter.
        """
        settings = self._settings
        return Checkpoint(
            smartlb=__version__,
            river=version("river"),
            saved_unix_s=saved_unix_s,
            latency=settings.latency,
            latency_model=settings.latency_model,
            error_model=settings.error_model,
            classes=list(names.classes),
            pools={
                name: pool.memory(slots.names(names.classes), backends)
                for (name, backends), (_, slots, pool) in zip(names.pools.items(), self._pools, strict=True)
                if backends
            },
        )

    def recall(self, checkpoint: Checkpoint, names: Names) -> Recalled:
        """Begin from what was known before; to be called before the first `update`.

        Raises:
            CheckpointError: it says nothing of these pools, or was learned by other models; nothing has changed then.
        """
        settings = self._settings
        check_fit(checkpoint, names, settings.latency, settings.latency_model, settings.error_model)
        known: list[str] = []
        cold: list[str] = []
        for (name, backends), (_, slots, pool) in zip(names.pools.items(), self._pools, strict=True):
            memory = checkpoint.pools.get(name)
            if memory is not None and backends:
                slots.recall(memory.requests, names.classes)
                pool.recall(memory, slots.names(names.classes), backends)
            for backend in backends:
                (known if memory and backend in memory.backends else cold).append(f"{name}/{backend}")
        return Recalled(known, cold)

    def latency_s(self, backend: int, in_flight: float, request_class: int) -> float:
        """Predicted latency of a request, before any allowance for load or debts; NaN where nothing is known."""
        for (members, slots, pool), own in zip(self._pools, self._own, strict=True):
            if backend in members and backend in own:
                at = int(np.searchsorted(own, backend))
                return pool.latency_s(at, in_flight, int(slots.of[request_class]))
        return float("nan")


def _blank(pool: PoolLearner, slot: int) -> bool:
    """Whether the latency models, the slowest to forget, know nothing of a slot."""
    return all(isnan(pool.latency_s(backend, 0.0, slot)) for backend in range(pool.size))

"""The learner: telemetry in, snapshots out."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from smartlb import __version__
from smartlb.core.snapshot import Snapshot
from smartlb.core.telemetry import Records
from smartlb.learning.backend import Watched
from smartlb.learning.cells import Latency, Matrix, tally
from smartlb.learning.checkpoint import Checkpoint, Names, Recalled, check_fit
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
        drift_watches: changes of what are looked for: of failures alone, or of latencies and stalls too.
        exploration_floor: least weight of a backend, as a share of its fair share; above 0, at most 1.
        error_penalty_s: what a failed request costs beside its latency.
        seed: of the learner's random draws.
    """

    latency: Latency = "first_byte"
    latency_model: str = "bayesian_linear"
    error_model: str = "ewm_rate"
    drift_detector: str = "page_hinkley"
    drift_watches: Watched = "errors"
    exploration_floor: float = 0.02
    error_penalty_s: float = 1.0
    seed: int = 0


class Learner:
    """Learns every pool's backends from telemetry; owns no clock, and the same input gives the same snapshots.

    Args:
        pools: the index range of each pool's backends.
        classes: how many request classes there are.
        settings: how to learn.
        version: of the last snapshot that a predecessor published.
        backends: how many there are; those of no pool in `pools` are not learned, and get zeros. Where not given, the
            last pool's end.

    Attributes:
        dropped: records left out because their latency or in-flight count is impossible.
    """

    def __init__(
        self, pools: Sequence[range], classes: int, settings: LearnerSettings, version: int = 0, backends: int = 0
    ) -> None:
        self._classes = classes
        self._backends = backends or max(members.stop for members in pools)
        self._latency: Latency = settings.latency
        self._settings = settings
        self._version = version
        self._samples = 0
        self._last_s: float | None = None
        self.dropped = 0
        streams = np.random.default_rng(settings.seed).spawn(len(pools))
        self._pools = [
            (
                members,
                PoolLearner(
                    backends=len(members),
                    classes=classes,
                    latency_model=LATENCY_MODELS[settings.latency_model],
                    error_model=ERROR_MODELS[settings.error_model],
                    drift_detector=DRIFT_DETECTORS[settings.drift_detector],
                    drift_watches=settings.drift_watches,
                    exploration_floor=settings.exploration_floor,
                    error_penalty_s=settings.error_penalty_s,
                    rng=rng,
                ),
            )
            for members, rng in zip(pools, streams, strict=True)
        ]

    def update(self, records: Records, now_s: float, in_flight: Matrix | None = None) -> Snapshot:
        """Learn from the records since the last call and make the next snapshot.

        Args:
            records: of `smartlb.core.telemetry.RECORD`; may be empty.
            now_s: a monotonic time; if it goes backwards, no time has passed.
            in_flight: ``[backends]``; requests in flight at each now, over all workers. With them a backend that hangs
                is noticed before its requests end; None where they are not known.
        """
        elapsed_s = 0.0 if self._last_s is None else max(0.0, now_s - self._last_s)
        self._last_s = now_s
        shape = (self._classes, self._backends)
        longest_s = np.zeros(self._backends)
        for members, pool in self._pools:
            longest_s[members.start : members.stop] = pool.longest_s
        batch = tally(records, self._classes, longest_s, self._latency)
        self.dropped += batch.dropped
        weight, explore, base_s, slope_s, error_rate, sight = (np.zeros(shape) for _ in range(6))
        for members, pool in self._pools:
            own = slice(members.start, members.stop)
            self._samples += int(batch.requests[:, own].sum())
            own_in_flight = None if in_flight is None else in_flight[own]
            claims = pool.update(
                batch.requests[:, own], batch.failures[:, own], batch.cells[own], elapsed_s, own_in_flight
            )
            weight[:, own] = claims.weight
            explore[:, own] = claims.explore
            base_s[:, own] = claims.base_s
            slope_s[:, own] = claims.slope_s
            error_rate[:, own] = claims.error_rate
            sight[:, own] = claims.sight
        self._version += 1
        return Snapshot(
            version=self._version,
            published_s=now_s,
            weight=weight,
            explore=explore,
            base_s=base_s,
            slope_s=slope_s,
            error_rate=error_rate,
            sight=sight,
            samples=self._samples,
            drifts=sum(pool.drifts for _, pool in self._pools),
        )

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
                name: pool.memory(names.classes, backends)
                for (name, backends), (_, pool) in zip(names.pools.items(), self._pools, strict=True)
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
        for (name, backends), (_, pool) in zip(names.pools.items(), self._pools, strict=True):
            memory = checkpoint.pools.get(name)
            if memory is not None:
                pool.recall(memory, names.classes, backends)
            for backend in backends:
                (known if memory and backend in memory.backends else cold).append(f"{name}/{backend}")
        return Recalled(known, cold)

    def latency_s(self, backend: int, in_flight: float, request_class: int) -> float:
        """Predicted latency of a request, before any allowance for load or debts; NaN where nothing is known."""
        for members, pool in self._pools:
            if backend in members:
                return pool.latency_s(backend - members.start, in_flight, request_class)
        return float("nan")

"""What learning costs, and how old a snapshot becomes."""

import time
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from benchmarks.learning.goals import Row
from smartlb.config.model import Learner as Section
from smartlb.core.record import RECORD, Records
from smartlb.learning.learner import Learner, LearnerSettings
from smartlb.process.lifetime import seldom_collect

RATE: Final = 5000.0
CLASSES: Final = 3
SIZES: Final = (20, 1000)
"""Numbers of backends."""

FAILING: Final = 0.01
MEAN_S: Final = 0.02


@dataclass(frozen=True, slots=True)
class Cost:
    """Of learning one pool.

    Attributes:
        backends: in the pool.
        interval_s: between two snapshots.
        cores: processor time it takes, in seconds a second.
        tick_s: that of one snapshot, the median.
        longest_s: the longest.
    """

    backends: int
    interval_s: float
    cores: float
    tick_s: float
    longest_s: float


def cost(backends: int, seconds: float, rate: float = RATE, warmup_s: float = 5.0) -> Cost:
    """Feed a learner what a router would, for so many seconds of its time, and see how long it works."""
    section = Section()
    kept = section.model_dump(exclude={"interval_s", "stale_after_s", "checkpoint"})
    learner = Learner([range(backends)], CLASSES, LearnerSettings(**kept))
    rng = np.random.default_rng(1)
    speed = rng.uniform(0.5, 2.0, (CLASSES, backends))
    seldom_collect()
    took_s: list[float] = []
    ticks = round((warmup_s + seconds) / section.interval_s)
    for tick in range(ticks):
        now_s = tick * section.interval_s
        records, in_flight = _records(rng, speed, rate, now_s, section.interval_s)
        started_s = time.process_time()
        learner.update(records, now_s, in_flight)
        if now_s >= warmup_s:
            took_s.append(time.process_time() - started_s)
    used = sum(took_s) / (len(took_s) * section.interval_s)
    return Cost(backends, section.interval_s, used, median(took_s), max(took_s))


def _records(
    rng: np.random.Generator,
    speed: np.ndarray[tuple[int, ...], np.dtype[np.float64]],
    rate: float,
    now_s: float,
    span_s: float,
) -> tuple[Records, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """What ended in the last interval, and the requests in flight now; latency grows with these."""
    classes, backends = speed.shape
    count = int(rng.poisson(rate * span_s))
    load = rate * MEAN_S / backends
    records = np.zeros(count, RECORD)
    records["backend"] = rng.integers(backends, size=count)
    records["request_class"] = rng.integers(classes, size=count)
    records["in_flight"] = rng.poisson(load, count)
    unhurried_s = MEAN_S / speed[records["request_class"], records["backend"]]
    records["first_byte_s"] = records["total_s"] = (
        unhurried_s * (1.0 + 0.2 * records["in_flight"]) * rng.lognormal(-0.18, 0.6, count)
    )
    records["arrived_s"] = np.sort(rng.uniform(now_s - span_s, now_s, count)) - records["total_s"]
    records["status"] = np.where(rng.random(count) < FAILING, 500, 200)
    records["attempt"] = 1
    return records, rng.poisson(load, backends).astype(np.float64)


def rows(found: Cost) -> list[Row]:
    """The figures of a pool."""
    key, where = f"cost.{found.backends}", f"{found.backends:,} backends, {CLASSES} classes"
    return [
        Row(f"{key}.cores", f"processor time at {RATE:,.0f} requests/s, s a second", found.cores, where),
        Row(f"{key}.tick", "... of one snapshot, median, ms", 1e3 * found.tick_s, where),
        Row(f"{key}.age", "age of a snapshot when the next comes, ms", 1e3 * (found.interval_s + found.tick_s), where),
        Row(f"{key}.age.worst", "... at worst, ms", 1e3 * (found.interval_s + found.longest_s), where),
    ]

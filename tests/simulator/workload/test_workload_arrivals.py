"""What every arrival process of the registry promises, and what each of them does besides."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from simulator.workload.arrivals.bursts import Bursts
from simulator.workload.arrivals.diurnal import Diurnal
from simulator.workload.arrivals.even import Even
from simulator.workload.arrivals.flash_crowd import FlashCrowd
from simulator.workload.arrivals.process import Process, Times
from simulator.workload.arrivals.registry import ARRIVALS, Arrivals

VARIANTS: dict[str, Process] = {
    **{kind: process() for kind, process in ARRIVALS.items()},
    "bursts short": Bursts(factor=20, burst_s=0.01, quiet_s=0.05),
    "diurnal full": Diurnal(amplitude=1, period_s=10, start_s=37.5),
    "flash_crowd sudden": FlashCrowd(factor=50, start_s=0.0, ramp_s=0, hold_s=2, decay_s=0),
}

every_variant = pytest.mark.parametrize("process", VARIANTS.values(), ids=VARIANTS.keys())


def first(process: Process, count: int, rate: float = 100.0, seed: int = 1, chunk: int = 4096) -> Times:
    """The first arrivals."""
    rng = np.random.default_rng(seed)
    chunks = islice(process.times(rate, rng, chunk), -(-count // chunk))
    return np.concatenate(list(chunks))[:count]


@every_variant
@settings(deadline=None, max_examples=15, derandomize=True)
@given(rate=st.floats(0.01, 1e6), seed=st.integers(0, 2**32), chunk=st.sampled_from([1, 7, 64, 1000, 4096]))
def test_times_ascend_whatever_the_chunk(process: Process, rate: float, seed: int, chunk: int) -> None:
    times = first(process, 1000, rate, seed)
    assert times[0] >= 0
    assert np.all(np.diff(times) >= 0)
    assert np.isfinite(times).all()
    assert first(process, 1000, rate, seed, chunk).tobytes() == times.tobytes()


@pytest.mark.parametrize(
    ("process", "rate"),
    [
        (VARIANTS["poisson"], 50),
        (VARIANTS["even"], 50),
        (Bursts(factor=5, burst_s=0.2, quiet_s=0.6), 500),
        (Diurnal(amplitude=0.9, period_s=4), 500),
    ],
    ids=["poisson", "even", "bursts", "diurnal"],
)
def test_the_mean_rate_is_the_one_asked_for(process: Process, rate: float) -> None:
    times = first(process, 1_000_000, rate)
    assert len(times) / times[-1] == pytest.approx(rate, rel=0.03)  # some thousand bursts


def test_every_kind_has_a_test_of_its_rate_or_its_own() -> None:
    assert set(ARRIVALS) == {"poisson", "even", "bursts", "diurnal", "flash_crowd"}


def test_even_gaps() -> None:
    assert first(Even(), 5, rate=4, chunk=2).tolist() == [0.25, 0.5, 0.75, 1.0, 1.25]


def test_bursts_are_as_long_and_as_dense_as_said() -> None:
    times = first(Bursts(factor=10, burst_s=1, quiet_s=9), 2_000_000, rate=1000)
    counts = np.bincount((times / 0.1).astype(int))
    quiet = 1000 * 10 / (9 + 10)
    # Tenths of a second lie in a burst, outside, or on a border.
    busy = counts > 0.1 * quiet * 5.5
    assert busy.mean() == pytest.approx(0.1, rel=0.15)
    assert np.median(counts[busy]) / np.median(counts[~busy]) == pytest.approx(10, rel=0.1)


def test_a_day_has_its_peak_where_the_sinusoid_has_it() -> None:
    times = first(Diurnal(amplitude=0.5, period_s=8), 800_000, rate=1000)
    by_eighth, _ = np.histogram(times % 8, bins=8, range=(0, 8))
    middle = (np.arange(8) + 0.5) / 8
    expected = 1 + 0.5 * np.sin(2 * np.pi * middle) * np.sinc(1 / 8)
    assert by_eighth / by_eighth.mean() == pytest.approx(expected, rel=0.03)


def test_a_flash_crowd_climbs_holds_and_falls_back() -> None:
    process = FlashCrowd(factor=4, start_s=10, ramp_s=5, hold_s=10, decay_s=5)
    times = first(process, 120_000, rate=1000)
    by_second, _ = np.histogram(times, bins=np.arange(41.0))
    second = np.arange(40) + 0.5
    expected = 1000 * np.interp(second, [10, 15, 25, 30], [1, 4, 4, 1])
    assert by_second == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize(
    ("section", "place", "message"),
    [
        ({"kind": "storm"}, (), "'poisson', 'even', 'bursts', 'diurnal', 'flash_crowd'"),
        ({"kind": "bursts", "factor": 0.5}, ("bursts", "factor"), "greater than or equal to 1"),
        ({"kind": "diurnal", "amplitude": 1.5}, ("diurnal", "amplitude"), "less than or equal to 1"),
        ({"kind": "poisson", "rate": 3}, ("poisson", "rate"), "not permitted"),
    ],
)
def test_nonsense_is_refused(section: dict[str, Any], place: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as refused:
        TypeAdapter(Arrivals).validate_python(section)
    assert refused.value.errors()[0]["loc"] == place


def test_every_field_says_what_it_is() -> None:
    for process in ARRIVALS.values():
        for name, field in process.model_fields.items():
            assert field.description, f"{process.__name__}.{name}"

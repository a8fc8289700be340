import pytest

from simulator.measures.estimate import Estimate
from simulator.measures.recovery import Recovery
from simulator.measures.seeds import across_seeds
from simulator.report import words
from tests.simulator.measures.made import made_figures


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (0.123, "0.12 ms"),
        (25.44, "25.4 ms"),
        (102.4, "102 ms"),
        (999.7, "1.00 s"),
        (12_345.0, "12.3 s"),
        (3_600_000.0, "60.0 min"),
        (Estimate(103.2, 4.4, 3), "103 ±4 ms"),
        (Estimate(2300.0, 370.0, 3), "2.30 ±0.37 s"),
        (Estimate(103.2, None, 1), "103 ms"),
        (Estimate(5.0, 16.2, 3), "5.0 ±16.2 ms"),
    ],
)
def test_latencies(value: Estimate | float | None, expected: str) -> None:
    assert words.latency(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (0.00001, "<0.01 %"), (0.0015, "0.15 %"), (0.0234, "2.3 %"), (0.5, "50 %"), (None, "–")],
)
def test_shares(value: float | None, expected: str) -> None:
    assert words.share(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Estimate(0.254, 0.031, 3), "+25 ±3 %"),
        (Estimate(-0.1, None, 1), "-10 %"),
        (Estimate(0.0, 0.0, 3), "0 %"),
        (Estimate(45.1, 2.0, 3), "46.1 ±2.0×"),
        (None, "–"),
    ],
)
def test_regrets(value: Estimate | None, expected: str) -> None:
    assert words.regret(value) == expected


def test_intervals_can_be_left_out() -> None:
    value = Estimate(0.5, 0.2, 3)

    assert [write(value, False) for write in (words.latency, words.share, words.regret, words.index)] == [
        "0.50 ms",
        "50 %",
        "+50 %",
        "0.50",
    ]


def recovery(*runs: float | None) -> str:
    figures = [
        made_figures("learned", seed, recovery=[Recovery("slow a", 1.0, None, 1.0, value, None)])
        for seed, value in enumerate(runs)
    ]
    return words.recovery(across_seeds(figures)[0])


def test_recoveries() -> None:
    assert recovery(0.0) == "0 s"
    assert recovery(4.2) == "4.20 s"
    assert recovery(None) == "never"
    assert recovery(3.0, None, None) == "never, 2 of 3"
    assert words.recovery(across_seeds([made_figures("learned")])[0]) == "–"


def test_overload_is_put_in_words() -> None:
    figures = [
        made_figures("learned", 1, grows=True, refused=0.02),
        made_figures("learned", 2, grows=False, refused=0.0),
        made_figures("learned", 3, p99_ms=None),
    ]

    assert words.trouble(across_seeds(figures)[0]) == [
        "queues grow all the time in 1 of 3 runs",
        "2.0 % of attempts found a full queue",
        "no request succeeded in some run",
    ]
    assert words.trouble(across_seeds([made_figures("learned")])[0]) == []

import numpy as np
import pytest

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE, Records
from smartlb.learning.cells import Cell, DropReason, Tally, sift, tally
from tests.learning.telemetry import some_records

ANY = np.full(2, np.inf)


def sifted(*records: Records) -> tuple[Tally, dict[DropReason, int]]:
    kept, dropped = sift(np.concatenate(records), 2, 2, "first_byte")
    return tally(kept, 2, ANY, "first_byte"), {reason: count for reason, count in dropped.items() if count}


def tallied(*records: Records) -> Tally:
    return sifted(*records)[0]


def test_requests_alike_become_one_cell_of_their_means() -> None:
    batch = tallied(
        some_records(3, in_flight=4, latency_s=0.1),
        some_records(1, in_flight=6, latency_s=0.3),
        some_records(2, in_flight=1, latency_s=0.5),
        some_records(1, backend=1, request_class=1, latency_s=0.7),
    )
    assert [len(own) for own in batch.cells] == [2, 1]
    low, high = sorted(batch.cells[0], key=lambda cell: cell.in_flight)
    assert low == pytest.approx(Cell(0, 1.0, 0.5, 2.0))
    assert high == pytest.approx(Cell(0, 4.5, 0.15, 4.0))
    assert batch.cells[1] == [pytest.approx(Cell(1, 0.0, 0.7, 1.0))]
    assert batch.requests.tolist() == [[6.0, 0.0], [0.0, 1.0]]
    assert not batch.failures.any()


def test_cells_are_few_whatever_the_rate() -> None:
    records = some_records(50_000)
    records["in_flight"] = np.arange(50_000)
    assert len(tallied(records).cells[0]) == 12


def test_the_latency_is_the_one_asked_for() -> None:
    records = some_records(latency_s=0.25)
    assert tally(records, 1, ANY, "first_byte").cells[0][0].latency_s == pytest.approx(0.25)
    assert tally(records, 1, ANY, "total").cells[0][0].latency_s == pytest.approx(0.5)


def test_how_long_a_tunnel_lasts_is_no_latency() -> None:
    records = some_records(latency_s=0.25, status=101)
    records["total_s"] = 200_000.0
    kept, dropped = sift(records, 2, 2, "total")
    assert not any(dropped.values())
    assert tally(kept, 1, ANY, "total").cells[0][0].latency_s == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(500, Outcome.COMPLETE), (429, Outcome.COMPLETE), (502, Outcome.RESET), (504, Outcome.RESPONSE_TIMEOUT)],
)
def test_failures_teach_no_latency(status: int, outcome: Outcome) -> None:
    batch, dropped = sifted(some_records(5, status=status, outcome=outcome, latency_s=np.nan))
    assert batch.failures[0, 0] == batch.requests[0, 0] == 5
    assert batch.cells == [[], []]
    assert not dropped


@pytest.mark.parametrize(
    "outcome", [Outcome.COMPLETE, Outcome.CLIENT_GONE, Outcome.CLIENT_TIMEOUT, Outcome.NO_BACKEND, Outcome.INTERNAL]
)
def test_what_is_not_the_backends_doing_teaches_nothing(outcome: Outcome) -> None:
    batch, dropped = sifted(some_records(5, backend=NO_BACKEND, status=499, outcome=outcome))
    assert not batch.requests.any()
    assert batch.cells == [[], []]
    assert not dropped


def test_an_attempt_that_was_overtaken_took_at_least_as_long_as_it_was_waited_for() -> None:
    overtaken = some_records(5, latency_s=0.2, outcome=Outcome.HEDGE_LOST, status=0)
    overtaken["first_byte_s"] = np.nan
    hedge = some_records(3, outcome=Outcome.HEDGE_LOST, status=0)
    hedge["attempt"] = 2
    batch, dropped = sifted(overtaken, hedge)
    assert batch.requests.sum() == 5
    assert not batch.failures.any()
    assert batch.cells[0] == [pytest.approx(Cell(0, 0.0, 0.4, 5.0))]
    assert not dropped


@pytest.mark.parametrize(("backend", "request_class"), [(99, 0), (2, 0), (0, 2), (0, NO_ROUTE)])
def test_unknown_backends_and_classes_are_dropped_and_counted(backend: int, request_class: int) -> None:
    batch, dropped = sifted(some_records(backend=backend, request_class=request_class, latency_s=np.nan))
    assert not batch.requests.any()
    assert dropped == {"unknown": 1}


@pytest.mark.parametrize("latency_s", [np.nan, -0.001, np.inf, 90_000.0])
def test_impossible_latencies_are_dropped_and_counted(latency_s: float) -> None:
    batch, dropped = sifted(some_records(3, latency_s=latency_s), some_records(2))
    assert dropped == {"latency": 3}
    assert batch.requests.sum() == 2


def test_an_impossible_in_flight_count_is_dropped_and_counted() -> None:
    assert sifted(some_records(in_flight=0xFFFFFFFF))[1] == {"in_flight": 1}


def test_freaks_count_as_the_longest() -> None:
    records = np.concatenate([some_records(latency_s=0.1), some_records(latency_s=100.0)])
    cells = tally(records, 1, np.array([1.9]), "first_byte").cells[0]
    assert cells == [pytest.approx(Cell(0, 0.0, 1.0, 2.0))]

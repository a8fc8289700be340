import numpy as np
import pytest

from smartlb.learning.cells import Cell, Matrix
from smartlb.learning.work import CROWDED, KNOWN, Work

TICK_S = 0.2
TRUE_S = np.array([[0.010, 0.040], [0.040, 0.010]])
"""``[classes, backends]``; what a request takes of a backend."""

CROWD = np.full(2, 50.0)


def tick(work: Work, requests: Matrix, latency_s: float, in_flight: Matrix = CROWD) -> None:
    cells = [[Cell(0, 10.0, latency_s, float(own.sum()))] if own.sum() else [] for own in requests.T]
    work.add(requests, cells, in_flight, in_flight, TICK_S)


def ended(rng: np.random.Generator, true_s: Matrix = TRUE_S) -> Matrix:
    """As many of each class, in a mix of chance, as a backend that is never idle gets done in a tick."""
    done = np.zeros(true_s.shape)
    for backend in range(true_s.shape[1]):
        left_s = TICK_S
        while left_s > 0.0:
            request_class = int(rng.random() < 0.5)
            left_s -= rng.exponential(true_s[request_class, backend])
            done[request_class, backend] += 1.0
    return done


def quiet(work: Work, rng: np.random.Generator) -> None:
    for _ in range(10):
        tick(work, ended(rng), 0.02, np.ones(2))


def test_what_a_request_takes_is_found_from_what_ends() -> None:
    rng = np.random.default_rng(1)
    work = Work(2, 2)
    quiet(work, rng)
    for _ in range(100):
        tick(work, ended(rng), 0.02 * CROWDED * 2.0)
    assert work.crowded
    assert work.seconds == pytest.approx(TRUE_S, abs=0.008)
    assert work.seconds[0, 0] < work.seconds[1, 0] / 2.0
    assert work.seconds[1, 1] < work.seconds[0, 1] / 2.0
    assert np.all(work.trust > 0.5)


def test_the_crowd_is_over_soon_after_requests_no_longer_wait() -> None:
    rng = np.random.default_rng(2)
    work = Work(2, 2)
    quiet(work, rng)
    for _ in range(20):
        tick(work, ended(rng), 1.0)
    in_crowd = work.crowded
    for _ in range(10):
        tick(work, ended(rng), 0.02, np.ones(2))
    assert (in_crowd, work.crowded) == (True, False)


def test_a_backend_that_may_be_idle_teaches_nothing() -> None:
    rng = np.random.default_rng(3)
    work = Work(2, 2)
    quiet(work, rng)
    for _ in range(50):
        tick(work, ended(rng), 1.0, np.array([50.0, 1.0]))
    assert work.trust[0] > 0.5
    assert work.trust[1] == 0.0
    # What is not known of it is what the others' requests take on average.
    assert work.seconds[:, 1] == pytest.approx(work.each_s[0], rel=0.25)


def test_a_few_long_requests_are_no_crowd() -> None:
    work = Work(1, 2)
    for _ in range(20):
        tick(work, np.full((1, 2), 50.0), 0.02)
    tick(work, np.ones((1, 2)), 5.0)
    for _ in range(5):
        tick(work, np.full((1, 2), 50.0), 0.02)
    assert not work.crowded


def test_where_nothing_is_known_of_what_is_in_flight_there_is_no_crowd() -> None:
    rng = np.random.default_rng(4)
    work = Work(2, 2)
    quiet(work, rng)
    for _ in range(int(KNOWN) + 20):
        requests = ended(rng)
        work.add(requests, [[Cell(0, 1.0, 1.0, 30.0)], []], None, None, TICK_S)
    assert not work.crowded

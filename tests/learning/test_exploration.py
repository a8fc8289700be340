import numpy as np

from smartlb.learning.exploration import BACKEND_SHARE, MOST_EXPLORED, Debts


def debts(classes: int = 1, backends: int = 4) -> Debts:
    return Debts(classes, backends, 0.1, np.random.default_rng(1))


def test_nothing_is_owed_at_first() -> None:
    assert not debts().due.any()


def test_a_backend_without_requests_comes_due_and_one_request_pays() -> None:
    owed = debts()
    others = np.array([[0.0, 20.0, 20.0, 20.0]])
    for _ in range(10):
        owed.settle(others)
    assert owed.due.tolist() == [[True, False, False, False]]
    owed.settle(np.array([[2.0, 0.0, 0.0, 0.0]]))
    assert not owed.due.any()


def test_what_is_owed_is_a_share_of_the_traffic() -> None:
    owed, served, ticks = debts(), 0, 4000
    for _ in range(ticks):
        probe = float(owed.due[0, 0])
        served += int(probe)
        owed.settle(np.array([[probe, 4.0, 4.0, 4.0]]))
    fair = 12.0 * ticks / 4.0
    assert 0.9 <= served / (fair * 0.1 * BACKEND_SHARE) <= 1.2


def test_silence_raises_no_debt() -> None:
    owed = debts()
    for _ in range(1000):
        owed.settle(np.zeros((1, 4)))
    assert not owed.due.any()


def test_a_class_that_a_backend_never_gets_comes_due_alone() -> None:
    owed = debts(classes=2, backends=2)
    for _ in range(200):
        owed.settle(np.array([[10.0, 10.0], [10.0, 0.0]]))
    assert owed.due.tolist() == [[False, False], [False, True]]


def test_streams_set_where_debts_begin() -> None:
    first = [Debts(1, 50, 0.1, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    for owed in first:
        for _ in range(100):
            owed.settle(np.full((1, 50), 0.0) + np.eye(1, 50) * 2.0)
    same, again, other = (owed.due.tolist() for owed in first)
    assert same == again != other


def test_about_one_request_a_tick_pays_each_debt() -> None:
    owed = debts(classes=2, backends=4)
    tick = np.array([[0.0, 20.0, 20.0, 20.0], [0.0, 5.0, 5.0, 10.0]])
    for _ in range(20):
        owed.settle(tick)
    chances = owed.chances
    assert (chances[:, 1:] == 0.0).all()
    assert 1.0 <= float(chances[:, 0] @ tick.sum(axis=1)) <= 3.0


def test_no_more_than_a_tenth_of_the_requests_explore() -> None:
    owed = debts(backends=50)
    for _ in range(100):
        owed.settle(np.eye(1, 50) * 3.0)
    assert owed.due.sum() > 20
    assert 0.09 <= owed.chances.sum() <= MOST_EXPLORED + 1e-9

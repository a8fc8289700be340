import pytest

from smartlb.learning.cells import Cell
from smartlb.learning.trial import LASTS_S, REQUESTS, WRONG, Trial


def answers(ratio: float, requests: float = 2.0 * REQUESTS) -> list[tuple[Cell, float]]:
    return [(Cell(0, 1.0, 0.02 * ratio, requests), 0.02)]


def test_what_takes_as_long_as_expected_contradicts_nothing() -> None:
    trial = Trial(2)
    trial.add(answers(1.0), 0.2)
    assert not trial.contradicted
    assert not trial.over


@pytest.mark.parametrize(("ratio", "wrong"), [(0.9 * WRONG, False), (1.1 * WRONG, True), (1.0 / (2.0 * WRONG), False)])
def test_what_takes_much_longer_does(ratio: float, wrong: bool) -> None:
    trial = Trial(2)
    trial.add(answers(ratio), 0.2)
    assert trial.contradicted is wrong


def test_a_few_answers_decide_nothing() -> None:
    trial = Trial(2)
    trial.add(answers(10.0, REQUESTS), 0.2)
    assert not trial.contradicted
    trial.add(answers(10.0, REQUESTS), 0.2)
    assert trial.contradicted


def test_it_begins_with_the_first_answer_and_ends() -> None:
    trial = Trial(2)
    trial.add([], 100.0 * LASTS_S)
    assert not trial.over
    trial.add(answers(1.0), 1.01 * LASTS_S)
    assert trial.over

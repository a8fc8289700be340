from smartlb.learning.generations import Generations, Turn, TurnRule


def test_a_claim_outlives_one_turn_and_not_two() -> None:
    generations: Generations[list[str]] = Generations(list, 1)
    for generation in (generations.elder, generations.younger):
        generation.model.append("seen")
        generation.evidence[0] += 1.0
    generations.turn()
    assert generations.elder.model == ["seen"]
    assert generations.elder.evidence[0] == 1.0
    generations.turn()
    assert generations.elder.model == []
    assert generations.elder.evidence[0] == 0.0


RULE = TurnRule(period_s=8.0, starved_s=3.0, requests=10.0)


def test_turns_take_time_and_requests() -> None:
    turn = Turn(RULE, backends=2)
    assert not turn.due(7.0, 30.0, 15.0), "too early"
    assert turn.due(8.0, 0.0, 0.0)
    assert not turn.due(16.0, 10.0, 5.0), "too few requests: a quiet night forgets nothing"
    assert turn.due(3600.0, 10.0, 5.0)


def test_a_backend_that_is_avoided_turns_sooner() -> None:
    turn = Turn(RULE, backends=2)
    assert not turn.due(2.0, 30.0, 2.0)
    assert turn.due(3.0, 30.0, 2.0)

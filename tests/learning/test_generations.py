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


def settled() -> Turn:
    """Turns that have come to their period; the last was at 14 s."""
    turn = Turn(RULE, backends=2)
    assert all(turn.due(time_s, 30.0, 15.0) for time_s in (2.0, 6.0, 14.0))
    return turn


def test_first_turns_come_sooner() -> None:
    turn = Turn(RULE, backends=2)
    turns = [second for second in range(31) if turn.due(float(second), 30.0, 15.0)]
    assert turns == [2, 6, 14, 22, 30]


def test_turns_take_time_and_requests() -> None:
    turn = settled()
    assert not turn.due(21.0, 30.0, 15.0), "too early"
    assert turn.due(22.0, 0.0, 0.0)
    assert not turn.due(30.0, 10.0, 5.0), "too few requests: a quiet night forgets nothing"
    assert turn.due(3600.0, 10.0, 5.0)


def test_a_backend_that_is_avoided_turns_sooner() -> None:
    turn = settled()
    assert not turn.due(16.0, 30.0, 2.0)
    assert turn.due(17.0, 30.0, 2.0)

import pytest

from simulator.measures.cast import Cast
from simulator.measures.standing import losses, standings
from tests.simulator.measures.made import made_figures, table_of

CAST = Cast(told=frozenset({"told"}), references=frozenset({"c3"}))


def test_regret_over_scenarios_is_a_geometric_mean() -> None:
    figures = [
        *table_of({"clairvoyant": [10.0], "learned": [20.0]}, "one"),
        *table_of({"clairvoyant": [10.0], "learned": [80.0]}, "two"),
    ]
    found = {each.policy: each for each in standings(figures, CAST)}

    assert found["learned"].regret_p99 == pytest.approx(3.0)  # the root of 2 times 8, less 1
    assert found["clairvoyant"].regret_p99 == pytest.approx(0.0)
    assert found["learned"].scenarios == 2


def test_the_least_regret_comes_first_and_none_comes_last() -> None:
    figures = [
        *table_of({"clairvoyant": [10.0], "slow": [90.0], "quick": [20.0]}, "one"),
        made_figures("broken", scenario="one", p99_ms=None),
    ]

    assert [each.policy for each in standings(figures, CAST)] == ["clairvoyant", "quick", "slow", "broken"]


def test_who_is_as_good_within_the_margin_wins_too() -> None:
    figures = table_of({"clairvoyant": [1.0], "told": [2.0], "learned": [104.0], "other": [100.0], "third": [120.0]})
    found = {each.policy: (each.wins, each.losses) for each in standings(figures, CAST)}

    assert found["learned"] == (1, 0)
    assert found["other"] == (1, 0)
    assert found["third"] == (0, 1)
    assert found["clairvoyant"] == (None, 0)
    assert found["told"] == (None, 0)


def test_nobody_wins_by_failing_requests() -> None:
    figures = [
        made_figures("learned", p99_ms=100.0, mean_ms=10.0, errors=0.0),
        made_figures("failing", p99_ms=50.0, mean_ms=10.0, errors=0.3),
    ]
    found = {each.policy: each.wins for each in standings(figures, CAST)}
    (lost,) = losses(figures, "learned", CAST)

    assert found["failing"] == 0
    assert lost.more_errors == pytest.approx(0.3)


def test_losses_name_the_best_of_those_that_could_be_built() -> None:
    figures = table_of({"clairvoyant": [1.0], "told": [2.0], "learned": [100.0], "good": [80.0], "better": [60.0]})
    found = losses(figures, "learned", CAST)

    assert [(each.figure, each.winner, each.value, each.winning) for each in found] == [
        ("p99", "better", 100.0, 60.0),
        ("mean", "better", 25.0, 15.0),
    ]


def test_a_few_errors_more_are_no_loss() -> None:
    def lost(errors: float) -> list[str]:
        figures = [made_figures("learned", errors=errors), made_figures("other", errors=0.0)]
        return [each.figure for each in losses(figures, "learned", CAST)]

    assert lost(0.00009) == []
    assert lost(0.001) == ["errors"]


def test_a_loss_is_clear_where_the_seeds_agree() -> None:
    agreed = losses(table_of({"learned": [100.0, 110.0, 120.0], "other": [80.0, 89.0, 101.0]}), "learned", CAST)
    noise = losses(table_of({"learned": [100.0, 100.0, 100.0], "other": [20.0, 100.0, 105.0]}), "learned", CAST)
    single = losses(table_of({"learned": [100.0], "other": [80.0]}), "learned", CAST)

    assert [each.clear for each in agreed] == [True, True]
    assert [each.clear for each in noise] == [False, False]
    assert [each.clear for each in single] == [None, None]


def test_only_seeds_that_both_ran_are_compared() -> None:
    figures = [
        made_figures("learned", 1, p99_ms=100.0),
        made_figures("learned", 2, p99_ms=10.0),
        made_figures("other", 1, p99_ms=99.0),
    ]

    assert losses(figures, "learned", CAST) == []


def test_who_did_not_run_did_not_lose() -> None:
    assert losses(table_of({"other": [1.0]}), "learned", CAST) == []


def test_marks_and_their_legend() -> None:
    assert [CAST.mark(name) for name in ("learned", "clairvoyant", "told", "c3")] == ["", "‡", "†", "°"]
    assert [line[0] for line in CAST.legend(["learned", "told", "clairvoyant"])] == ["‡", "†"]

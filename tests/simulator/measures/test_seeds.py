import pytest

from simulator.measures.estimate import Estimate
from simulator.measures.recovery import Recovery
from simulator.measures.seeds import Summary, across_seeds
from tests.simulator.measures.made import made_figures, table_of


def by_policy(summaries: list[Summary]) -> dict[str, Summary]:
    return {each.policy: each for each in summaries}


def test_regret_is_paired_by_seed() -> None:
    found = by_policy(across_seeds(table_of({"clairvoyant": [10.0, 20.0], "learned": [11.0, 24.0]})))

    # 10 % in one seed and 20 % in the other, not the 16.7 % of the means.
    assert found["learned"].regret_p99 is not None
    assert found["learned"].regret_p99.mean == pytest.approx(0.15)
    assert found["learned"].regret_mean is not None
    assert found["learned"].regret_mean.mean == pytest.approx(0.15)
    assert found["clairvoyant"].regret_p99 == Estimate(0.0, 0.0, 2)
    assert found["learned"].seeds == (1, 2)
    assert found["learned"].p99_ms is not None
    assert found["learned"].p99_ms.mean == pytest.approx(17.5)


def test_without_the_clairvoyant_policy_there_is_no_regret() -> None:
    (found,) = across_seeds(table_of({"learned": [11.0]}))

    assert (found.regret_p99, found.regret_mean, found.extra_errors) == (None, None, None)


def test_regret_needs_the_same_seed() -> None:
    figures = [made_figures("learned", 1, p99_ms=10.0), made_figures("clairvoyant", 2, p99_ms=5.0)]

    assert across_seeds(figures)[0].regret_p99 is None


def test_failed_requests_are_apart() -> None:
    figures = [made_figures("learned", errors=0.05), made_figures("clairvoyant", errors=0.01)]
    found = by_policy(across_seeds(figures))["learned"]

    assert found.errors.mean == 0.05
    assert found.extra_errors is not None
    assert found.extra_errors.mean == pytest.approx(0.04)


def trouble(recovery_s: float | None, before_ms: float | None = 1.0) -> Recovery:
    return Recovery("slow a", 1.0, None, before_ms, recovery_s, None)


def test_the_longest_recovery_of_each_run_counts() -> None:
    figures = [
        made_figures("learned", 1, recovery=[trouble(2.0), trouble(5.0)]),
        made_figures("learned", 2, recovery=[trouble(7.0), trouble(0.0)]),
    ]
    (found,) = across_seeds(figures)

    assert found.recovery_s is not None
    assert found.recovery_s.mean == pytest.approx(6.0)
    assert (found.troubled, found.unrecovered) == (2, 0)


def test_a_run_that_never_recovered_leaves_no_mean() -> None:
    figures = [
        made_figures("learned", 1, recovery=[trouble(2.0)]),
        made_figures("learned", 2, recovery=[trouble(2.0), trouble(None)]),
    ]
    (found,) = across_seeds(figures)

    assert (found.recovery_s, found.troubled, found.unrecovered) == (None, 2, 1)


def test_what_has_no_before_is_no_recovery() -> None:
    (found,) = across_seeds([made_figures("learned", 1, recovery=[trouble(None, before_ms=None)])])

    assert (found.recovery_s, found.troubled, found.unrecovered) == (None, 0, 0)


def test_runs_that_are_not_of_one_comparison_are_refused() -> None:
    with pytest.raises(ValueError, match="two runs of learned in hand with seed 1"):
        across_seeds([made_figures("learned"), made_figures("learned")])

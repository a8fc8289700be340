from math import exp
from typing import Any

import pytest

from smartlb.policies.registry import POLICIES
from tests.policies.pools import memory_of, pool_view

pick, observe = POLICIES["peak_ewma"].pick, POLICIES["peak_ewma"].program.observe  # type: ignore[union-attr]


def memory(backends: int = 2, **options: Any) -> Any:
    return memory_of("peak_ewma", [1.0] * backends, **options)


def looked_at(seen: Any, now_s: float) -> float:
    """The average of the first of two backends after a pick that looked at it alone."""
    assert pick(pool_view([3, 0], barred={1}), seen, 0, 0, now_s, (0.0, 0.0)) == 0
    return float(seen.cost_s[0])


def test_a_peak_counts_at_once_and_lower_latencies_by_time() -> None:
    seen = memory()
    observe(seen, 0, 100.0, 0.1, False)
    assert seen.cost_s[0] == 0.1
    # One decay time later e^-1 is left of the old.
    observe(seen, 0, 110.0, 0.02, False)
    assert seen.cost_s[0] == pytest.approx(0.1 * exp(-1) + 0.02 * (1 - exp(-1)))
    assert seen.cost_s[0] == pytest.approx(0.049430, abs=1e-6)
    observe(seen, 0, 110.0, 0.5, False)
    assert seen.cost_s[0] == 0.5


def test_looking_at_it_lets_it_decay() -> None:
    seen = memory()
    observe(seen, 0, 100.0, 0.5, False)
    assert looked_at(seen, 110.0) == pytest.approx(0.5 * exp(-1))
    # 0.2 is a peak now, as it would not have been for the average before the look.
    observe(seen, 0, 110.0, 0.2, False)
    assert seen.cost_s[0] == 0.2


def test_decay_s_is_the_mean_lifetime() -> None:
    seen = memory(decay_s=2.0)
    observe(seen, 0, 0.0, 1.0, False)
    assert looked_at(seen, 4.0) == pytest.approx(exp(-2))


def test_a_clock_that_steps_back_changes_nothing() -> None:
    seen = memory()
    observe(seen, 0, 100.0, 0.5, False)
    assert looked_at(seen, 90.0) == 0.5


def test_a_busy_backend_without_history_is_avoided() -> None:
    seen = memory()
    observe(seen, 1, 1.0, 140_000.0, False)  # nearly as much as a backend without history counts as
    draws = (0.0, 0.0), (0.9, 0.0)
    assert {pick(pool_view([1, 0]), seen, 0, 0, 1.0, each) for each in draws} == {1}
    assert {pick(pool_view([0, 0]), seen, 0, 0, 1.0, each) for each in draws} == {0}, "an idle one is not"


def test_the_lower_load_wins_and_the_first_drawn_on_ties() -> None:
    seen = memory(3)
    for backend, latency_s in enumerate((0.1, 0.3, 0.2)):
        observe(seen, backend, 1.0, latency_s, False)
    # 0.1 × 4, 0.3 × 1, 0.2 × 2.
    pool = pool_view([3, 0, 1])
    assert pick(pool, seen, 0, 0, 1.0, (0.0, 0.0)) == 1
    assert pick(pool, seen, 0, 0, 1.0, (0.9, 0.0)) == 2
    assert pick(pool, seen, 0, 0, 1.0, (0.0, 0.9)) == 0


def test_failures_count_like_any_other() -> None:
    seen, same = memory(), memory()
    observe(seen, 0, 1.0, 0.1, True)
    observe(same, 0, 1.0, 0.1, False)
    assert seen == same


@pytest.mark.parametrize("decay_s", [0.0, -1.0, 3601.0])
def test_a_decay_out_of_range_is_refused(decay_s: float) -> None:
    with pytest.raises(ValueError, match="decay_s"):
        memory(decay_s=decay_s)

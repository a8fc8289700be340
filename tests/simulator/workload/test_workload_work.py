"""What every distribution of the registry promises, and how costs make work."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simulator.workload.cost import LEAST_WORK_S, Cost, at_least
from simulator.workload.generated import Tokens
from simulator.workload.request import REQUEST
from simulator.workload.work.distribution import Work
from simulator.workload.work.lognormal import Lognormal
from simulator.workload.work.pareto import Pareto
from simulator.workload.work.registry import TOKENS, WORK
from simulator.workload.work.uniform import Uniform
from smartlb.config.model import Section

VARIANTS: dict[str, Work] = {
    **{kind: work(mean_ms=8.0) for kind, work in WORK.items()},
    "lognormal narrow": Lognormal(mean_ms=8, sigma=0.1),
    "pareto bounded": Pareto(mean_ms=8, alpha=1.1, bound=20),
    "pareto tight": Pareto(mean_ms=8, alpha=3, bound=2),
    "uniform wide": Uniform(mean_ms=8, spread=0.99),
}

every_variant = pytest.mark.parametrize("work", VARIANTS.values(), ids=VARIANTS.keys())


@every_variant
def test_the_mean_is_what_it_says(work: Work) -> None:
    drawn = work.draw(np.random.default_rng(3), 2_000_000)
    assert work.mean_s == 0.008
    heavy = isinstance(work, Pareto) and work.bound is None  # its variance is infinite
    assert drawn.mean() == pytest.approx(work.mean_s, rel=0.05 if heavy else 0.01)
    assert np.all(drawn > 0)
    assert np.isfinite(drawn).all()


@every_variant
@settings(deadline=None, max_examples=20, derandomize=True)
@given(seed=st.integers(0, 2**32), parts=st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_many_draws_give_what_one_gives(work: Work, seed: int, parts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    piecemeal = np.concatenate([work.draw(rng, n) for n in parts])
    assert piecemeal.tobytes() == work.draw(np.random.default_rng(seed), sum(parts)).tobytes()


@settings(deadline=None, max_examples=50, derandomize=True)
@given(alpha=st.floats(1.01, 20), bound=st.floats(2, 1e6), seed=st.integers(0, 2**32))
def test_a_bound_is_kept(alpha: float, bound: float, seed: int) -> None:
    drawn = Pareto(mean_ms=1000, alpha=alpha, bound=bound).draw(np.random.default_rng(seed), 1000)
    assert drawn.max() <= bound * (1 + 1e-9)
    assert drawn.min() > 0


@pytest.mark.parametrize("kind", TOKENS)
def test_tokens_have_the_mean_they_say(kind: str) -> None:
    tokens = TOKENS[kind](mean_tokens=700.0)
    assert tokens.draw(np.random.default_rng(1), 500_000).mean() == pytest.approx(700, rel=0.05)
    assert set(TOKENS) == set(WORK)


def test_every_field_says_what_it_is() -> None:
    kinds: list[type[Section]] = [*WORK.values(), *TOKENS.values(), Cost]
    for kind in kinds:
        for name, field in kind.model_fields.items():
            assert field.description, f"{kind.__name__}.{name}"


@pytest.mark.parametrize(
    "options",
    [{"mean_ms": 0}, {"mean_ms": -1}, {"mean_ms": 1, "alpha": 1}, {"mean_ms": 1, "bound": 1}, {"mean_ms": "1"}],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Pareto(**options)


def test_a_cost_adds_up() -> None:
    cost = Cost(base_ms=2, per_input_token_ms=0.1, per_output_token_ms=1, per_kilobyte_ms=10, per_recorded_second=2)
    work_s, first_s = cost.seconds(Tokens(input_tokens=100, output_tokens=50, kilobytes=3, duration_s=0.5))
    assert first_s == pytest.approx(0.002 + 0.010 + 0.030 + 1.0)
    assert work_s == pytest.approx(0.002 + 0.010 + 0.030 + 1.0 + 0.050)


def test_what_has_no_cost_is_not_looked_at() -> None:
    nothing = float("nan")
    assert Cost(base_ms=2).seconds(Tokens(nothing, nothing, nothing, nothing)) == (0.002, 0.002)


def test_noise_has_mean_one() -> None:
    noise = Cost(base_ms=1, noise_sigma=0.8).noise(np.random.default_rng(1).standard_normal(1_000_000))
    assert noise.mean() == pytest.approx(1, rel=0.01)
    assert np.log(noise).std() == pytest.approx(0.8, rel=0.01)


@pytest.mark.parametrize("options", [{}, {"noise_sigma": 0.5}, {"base_ms": -1}, {"base_ms": float("nan")}])
def test_a_cost_of_nothing_or_less_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Cost(**options)


def test_work_is_never_nothing() -> None:
    requests = np.zeros(3, REQUEST)
    requests["work_s"] = [0, 1e-9, 5]
    at_least(requests)
    assert requests["work_s"].tolist() == [LEAST_WORK_S, LEAST_WORK_S, 5]
    assert requests["first_s"].tolist() == [LEAST_WORK_S] * 3

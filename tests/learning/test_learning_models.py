"""What every model and detector of the registries must do."""

import random
import subprocess
import sys
from math import isfinite

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river.drift import PageHinkley as RiversPageHinkley
from sklearn.linear_model import LinearRegression

from smartlb.learning.drift import WIDEST
from smartlb.learning.model import DriftDetector, features
from smartlb.learning.page_hinkley import PageHinkley
from smartlb.learning.registry import DRIFT_DETECTORS, ERROR_MODELS, LATENCY_MODELS

LINES = ("bayesian_linear", "linear", "linear_quantile")
ATTENTIVE = [name for name in DRIFT_DETECTORS if name != "none"]


def test_the_registry_is_light() -> None:
    code = "import sys, smartlb.learning.registry; sys.exit('river' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_a_router_learns_with_by_default_is_without_a_data_scientists_libraries() -> None:
    code = """
import sys
from smartlb.learning.learner import LearnerSettings
from smartlb.learning.registry import DRIFT_DETECTORS, ERROR_MODELS, LATENCY_MODELS

settings = LearnerSettings()
LATENCY_MODELS[settings.latency_model](), ERROR_MODELS[settings.error_model]()
DRIFT_DETECTORS[settings.drift_detector]()
sys.exit('river' not in sys.modules or bool({'pandas', 'sklearn', 'scipy.stats'} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_loaded_when_it_is_used_is_all_there() -> None:
    code = """
import smartlb.learning.models
from river import linear_model, proba
from river.proba import MultivariateGaussian

model = linear_model.BayesianLinearRegression()
model.learn_one({"x": 1.0}, 1.0)
assert isinstance(model.predict_one({"x": 1.0}, with_dist=True), proba.Gaussian)
assert MultivariateGaussian is proba.MultivariateGaussian
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", LATENCY_MODELS)
def test_a_latency_model_knows_nothing_at_first(name: str) -> None:
    assert isfinite(LATENCY_MODELS[name]().predict_one(features(1.0, 0)))


@pytest.mark.parametrize("name", LATENCY_MODELS)
def test_a_latency_model_learns_a_level(name: str) -> None:
    model, rng = LATENCY_MODELS[name](), random.Random(1)
    for _ in range(300):
        model.learn_one(features(rng.random() * 2.0, 0), 2.0 * rng.gammavariate(5.0, 0.2), 5.0)
    assert model.predict_one(features(1.0, 0)) == pytest.approx(2.0, rel=0.3)


@pytest.mark.parametrize("name", LATENCY_MODELS)
def test_a_weight_stands_for_that_many_examples(name: str) -> None:
    model = LATENCY_MODELS[name]()
    for turn in range(200):
        model.learn_one(features(1.0, 0), 1.0 if turn % 2 else 3.0, 7.0 if turn % 2 else 1.0)
    assert model.predict_one(features(1.0, 0)) < 1.6


@pytest.mark.parametrize("name", LINES)
def test_lines_tell_classes_and_load_apart(name: str) -> None:
    model, rng = LATENCY_MODELS[name](), random.Random(2)
    for _ in range(2000):
        load, request_class = rng.random() * 3.0, rng.randrange(2)
        model.learn_one(features(load, request_class), 1.0 + 2.0 * request_class + 0.5 * load, 3.0)
    for request_class in (0, 1):
        for load in (0.0, 3.0):
            expected = 1.0 + 2.0 * request_class + 0.5 * load
            assert model.predict_one(features(load, request_class)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", ["bayesian_linear", "linear"])
@pytest.mark.parametrize("weight", [1.0, 100.0])
def test_lines_hold_when_loads_rise_far_beyond_what_was_seen(name: str, weight: float) -> None:
    model, rng = LATENCY_MODELS[name](), random.Random(6)
    for load in [rng.uniform(0.8, 1.2) for _ in range(200)] + [4.0, 6.0, 8.0, 10.0, 12.0]:
        model.learn_one(features(load, 0), 0.6 + 0.4 * load, weight)
        if load > 2.0:
            assert model.predict_one(features(1.0, 0)) == pytest.approx(1.0, abs=0.1)


def test_the_default_is_as_good_as_least_squares_over_all_the_data() -> None:
    rng = np.random.default_rng(3)
    load, request_class = rng.gamma(2.0, 0.5, 400), rng.integers(0, 3, 400)
    weight = rng.integers(1, 20, 400).astype(float)
    exact = np.array([1.0, 2.0, 0.5])[request_class] + 0.7 * load
    latency = exact * rng.gamma(weight, 1.0 / weight)
    model = LATENCY_MODELS["bayesian_linear"]()
    for row in range(400):
        model.learn_one(features(load[row], int(request_class[row])), latency[row], weight[row])

    table = np.column_stack([load, *(request_class == k for k in range(3))])
    yardstick = LinearRegression(fit_intercept=False).fit(table, latency, weight)
    online = [model.predict_one(features(load[row], int(request_class[row]))) for row in range(400)]
    np.testing.assert_allclose(online, yardstick.predict(table), rtol=0.01)


def test_the_default_does_not_wear_out() -> None:
    # River's own smoothing makes the same regression singular within a day.
    model = LATENCY_MODELS["bayesian_linear"]()
    for turn in range(20_000):
        model.learn_one(features(1.0, turn % 2), 1.0, 1e4)
    assert model.predict_one(features(1.0, 0)) == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("name", ERROR_MODELS)
def test_an_error_model_follows_the_rate(name: str) -> None:
    model = ERROR_MODELS[name]()

    def rate() -> float:
        return model.predict_proba_one(features(1.0, 0))[True]

    assert rate() < 0.1
    for _ in range(60):
        model.learn_one(features(1.0, 0), True, 10.0)
    assert rate() > 0.8
    for _ in range(120):
        model.learn_one(features(1.0, 0), False, 10.0)
    assert rate() < 0.1


@pytest.mark.parametrize("name", ERROR_MODELS)
def test_an_error_model_tells_classes_apart(name: str) -> None:
    model = ERROR_MODELS[name]()
    for _ in range(100):
        model.learn_one(features(1.0, 0), True, 10.0)
        model.learn_one(features(1.0, 1), False, 10.0)
    failing, sound = (model.predict_proba_one(features(1.0, k))[True] for k in (0, 1))
    assert failing > 0.7
    assert sound < 0.3


@pytest.mark.parametrize("name", ATTENTIVE)
@pytest.mark.parametrize("shift", [-2.8, 2.8])
def test_a_detector_finds_a_change_within_two_seconds(name: str, shift: float) -> None:
    detector, rng = DRIFT_DETECTORS[name](), random.Random(4)
    for _ in range(100):
        detector.update(rng.gauss(0.0, 0.7))
        assert not detector.drift_detected
    found: list[bool] = []
    while not any(found) and len(found) < 10:
        detector.update(min(max(rng.gauss(shift, 0.7), -WIDEST), WIDEST))
        found.append(detector.drift_detected)
    assert any(found)
    assert len(found) > 1, "a single tick is no drift"


@pytest.mark.parametrize("name", ATTENTIVE)
def test_a_detector_seldom_cries_wolf(name: str) -> None:
    rng, alarms = random.Random(5), 0
    for _ in range(8):
        detector = DRIFT_DETECTORS[name]()
        for _ in range(1000):
            detector.update(rng.gauss(0.0, 1.0))
            alarms += detector.drift_detected
    assert alarms <= 4


@given(
    st.lists(
        st.tuples(st.floats(-3.0, 3.0), st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=30)), min_size=1, max_size=6
    )
)
def test_page_hinkley_is_rivers(levels: list[tuple[float, list[float]]]) -> None:
    ours = PageHinkley(min_instances=3, delta=0.6, threshold=6.5)
    theirs: DriftDetector = RiversPageHinkley(min_instances=3, delta=0.6, threshold=6.5, alpha=1.0)
    for level, noise in levels:
        for each in noise:
            ours.update(level + each)
            theirs.update(level + each)
            assert ours.drift_detected == theirs.drift_detected


def test_no_detector_finds_nothing() -> None:
    detector = DRIFT_DETECTORS["none"]()
    for _ in range(100):
        detector.update(WIDEST)
    assert not detector.drift_detected

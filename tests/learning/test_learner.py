import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, RECORD, Records
from smartlb.core.snapshot import Snapshot
from smartlb.learning.classes import MOST
from smartlb.learning.learner import Learner, LearnerSettings
from smartlb.learning.registry import DRIFT_DETECTORS, ERROR_MODELS, LATENCY_MODELS
from tests.learning.telemetry import NOTHING, some_records

POOLS = [range(3), range(3, 5)]
FLOOR = 0.02


def assert_sound(snapshot: Snapshot, classes: int = 2) -> None:
    for matrix in (snapshot.weight, snapshot.explore, snapshot.base_s, snapshot.slope_s, snapshot.error_rate):
        assert matrix.shape == (classes, 5)
        assert np.isfinite(matrix).all()
    assert (snapshot.base_s >= 0.0).all()
    assert (snapshot.slope_s >= 0.0).all()
    assert (snapshot.error_rate >= 0.0).all()
    assert (snapshot.error_rate <= 1.0).all()
    assert (snapshot.explore >= 0.0).all()
    for members in POOLS:
        assert (snapshot.explore[:, members.start : members.stop].sum(axis=1) <= 1.0).all()
        weight = snapshot.weight[:, members.start : members.stop]
        assert weight.sum(axis=1) == pytest.approx(1.0)
        assert (weight >= FLOOR / len(members) * (1.0 - 1e-6)).all()


def learner(**changes: object) -> Learner:
    return Learner(POOLS, 2, LearnerSettings(**changes))  # type: ignore[arg-type]


def taught(model: Learner, *batches: Records, ticks: int = 20, start_s: float = 0.0) -> Snapshot:
    for tick in range(ticks):
        snapshot = model.update(np.concatenate(batches), start_s + 0.2 * tick)
    return snapshot


def each(backends: range, latency_s: float = 0.02, requests: int = 10) -> list[Records]:
    return [some_records(requests, backend=at, latency_s=latency_s) for at in backends]


def test_before_any_sample_all_are_equal() -> None:
    snapshot = learner().update(NOTHING, 100.0)
    assert_sound(snapshot)
    assert snapshot.weight[:, :3] == pytest.approx(1 / 3)
    assert snapshot.weight[:, 3:] == pytest.approx(1 / 2)
    for matrix in (snapshot.base_s, snapshot.slope_s):
        assert (matrix == matrix[0, 0]).all()
        assert matrix[0, 0] > 0.0
    assert (snapshot.version, snapshot.published_s, snapshot.samples, snapshot.drifts) == (1, 100.0, 0, 0)


def test_versions_go_on_from_a_predecessors() -> None:
    model = Learner(POOLS, 2, LearnerSettings(), version=41)
    assert [model.update(NOTHING, 0.2 * tick).version for tick in range(2)] == [42, 43]


def test_a_slow_backend_costs_more_and_gets_less() -> None:
    snapshot = taught(learner(), *each(range(2)), *each(range(2, 3), 0.08))
    assert_sound(snapshot)
    assert snapshot.base_s[0, 2] > 2.5 * snapshot.base_s[0, 0]
    assert snapshot.weight[0, 2] < 0.5 * snapshot.weight[0, 0]
    assert snapshot.samples == 600


def test_pools_do_not_mix() -> None:
    alone = taught(learner(), *each(range(3), 0.02))
    beside = taught(learner(), *each(range(3), 0.02), *each(range(3, 5), 5.0))
    assert (alone.base_s[:, :3] == beside.base_s[:, :3]).all()
    assert (alone.weight[:, :3] == beside.weight[:, :3]).all()


def test_load_shows_as_slope() -> None:
    loaded = [some_records(10, in_flight=load, latency_s=0.02 + 0.01 * load) for load in (1, 2, 4, 8, 16)]
    snapshot = taught(learner(), *loaded)
    assert snapshot.slope_s[0, 0] == pytest.approx(0.01, rel=0.25)


def test_latency_follows_the_settings() -> None:
    first, total = (taught(learner(latency=which), *each(range(3))) for which in ("first_byte", "total"))
    assert total.base_s[0, 0] == pytest.approx(2.0 * first.base_s[0, 0], rel=0.01)


def test_failures_cost_the_penalty() -> None:
    failing = some_records(10, backend=2, status=503, latency_s=0.001)
    snapshot = taught(learner(error_penalty_s=3.0), *each(range(2)), failing)
    assert_sound(snapshot)
    assert snapshot.error_rate[0, 2] > 0.9
    assert snapshot.error_rate[0, :2].max() < 0.05
    assert snapshot.weight[0, 2] == pytest.approx(FLOOR / 3, rel=1e-3)
    model = learner(error_penalty_s=0.0)
    assert taught(model, *each(range(2)), failing).weight[0, 2] == pytest.approx(1 / 3, rel=0.1)


def test_a_backend_that_fails_is_explored_now_and_then() -> None:
    model, batches = learner(), [*each(range(2)), some_records(10, backend=2, status=503)]
    taught(model, *batches)
    chances = [model.update(np.concatenate(each(range(2))), 4.0 + 0.2 * tick).explore[0].tolist() for tick in range(60)]
    assert any(chance[2] > 0.0 for chance in chances)
    assert all(chance[:2] == [0.0, 0.0] for chance in chances)


def test_without_news_a_bad_name_is_lost() -> None:
    model = learner()
    before = taught(model, *each(range(2)), some_records(10, backend=2, status=503))
    after = taught(model, *each(range(2)), start_s=4.0, ticks=60)
    assert before.error_rate[0, 2] > 0.9
    assert after.error_rate[0, 2] < 0.05
    assert after.weight[0, 2] > 0.8 / 3


def test_a_class_seen_once_leans_on_its_pool() -> None:
    model = learner()
    taught(model, *each(range(3)))
    snapshot = model.update(some_records(backend=1, request_class=1, latency_s=0.2), 5.0)
    assert_sound(snapshot)
    assert snapshot.base_s[1, 0] > snapshot.base_s[0, 0]


def served(model: Learner, in_flight: list[float], *batches: Records, ticks: int, start_s: float) -> Snapshot:
    for tick in range(ticks):
        snapshot = model.update(np.concatenate(batches), start_s + 0.2 * tick, np.array(in_flight))
    return snapshot


def test_requests_that_go_on_after_their_first_byte_are_no_hang() -> None:
    snapshot = served(learner(), [50.0, 50.0, 50.0, 0.0, 0.0], *each(range(3)), ticks=150, start_s=0.0)
    assert snapshot.drifts == 0


def test_weights_move_in_bounded_steps() -> None:
    model = learner(drift_detector="none")
    before = taught(model, *each(range(3)), ticks=40)
    after = model.update(np.concatenate([*each(range(2)), *each(range(2, 3), 0.6, 200)]), 8.0)
    ratio = after.weight / before.weight
    assert ratio.min() < 1.0
    assert (ratio <= 1.4 * (1.0 + 1e-6)).all()
    assert (ratio >= (1.0 - 1e-6) / 1.4).all()


@pytest.mark.parametrize("everywhere", [range(3), range(1)])
def test_failures_alone_are_learned_too(everywhere: range) -> None:
    failing = [some_records(10, backend=at, outcome=Outcome.RESET, status=502) for at in everywhere]
    snapshot = taught(learner(), *failing)
    assert_sound(snapshot)
    assert snapshot.error_rate[0, 0] > 0.9


def test_silence_and_jumping_clocks_do_no_harm() -> None:
    model = learner()
    before = taught(model, *each(range(2)), *each(range(2, 3), 0.08))
    for now_s in (1e5, 1e5, 50.0, -1e9, 1e18, 1e18 + 3600.0):
        snapshot = model.update(NOTHING, now_s)
        assert_sound(snapshot)
        assert snapshot.published_s == now_s
    assert snapshot.base_s[0, 2] == pytest.approx(before.base_s[0, 2], rel=0.5), "a quiet night forgets nothing"
    assert_sound(taught(model, *each(range(3)), start_s=0.0))


def test_records_of_no_backend_are_ignored_and_impossible_ones_counted() -> None:
    model = learner()
    nobody = some_records(5, backend=NO_BACKEND, outcome=Outcome.NO_BACKEND, status=503, latency_s=np.nan)
    wrong = [some_records(3, latency_s=-1.0), some_records(2, request_class=2), some_records(in_flight=0xFFFFFFFF)]
    for now_s in (0.0, 0.2):
        model.update(np.concatenate([nobody, *wrong]), now_s)
    assert model.dropped == {"latency": 6, "unknown": 4, "in_flight": 2}
    snapshot = model.update(np.concatenate(each(range(3))), 0.4)
    assert snapshot.samples == 30


def test_the_same_input_gives_the_same_snapshots() -> None:
    def history() -> list[list[list[float]]]:
        model, rng = learner(), np.random.default_rng(1)
        return [
            model.update(np.concatenate(each(range(2), float(rng.exponential(0.02)))), 0.2 * tick).base_s.tolist()
            for tick in range(60)
        ]

    assert history() == history()


@pytest.mark.parametrize(
    "changes",
    [
        *({"latency_model": name} for name in LATENCY_MODELS),
        *({"error_model": name} for name in ERROR_MODELS),
        *({"drift_detector": name} for name in DRIFT_DETECTORS),
    ],
    ids=lambda changes: "-".join(changes.values()),
)
def test_every_plug_learns(changes: dict[str, str]) -> None:
    failing = some_records(10, backend=4, status=503)
    snapshot = taught(
        learner(**changes), *each(range(2)), *each(range(2, 3), 0.08), *each(range(3, 4)), failing, ticks=60
    )
    assert_sound(snapshot)
    assert snapshot.weight[0, 2] < 0.7 * snapshot.weight[0, 0]
    assert snapshot.weight[0, 4] < 0.1 * snapshot.weight[0, 3]


class Astray:
    """A latency model that breaks once it has learned a while."""

    def __init__(self) -> None:
        self.learned = 0

    def learn_one(self, _x: object, _y: float, _w: float) -> None:
        self.learned += 1

    def predict_one(self, _x: object) -> float:
        return 1.0 if self.learned < 20 else float("nan")


def test_a_model_gone_astray_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LATENCY_MODELS, "astray", Astray)
    model = learner(latency_model="astray")
    for tick in range(60):
        assert_sound(model.update(np.concatenate(each(range(3))), 0.2 * tick))


wild = st.one_of(
    st.floats(width=32, allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1e-9, 0.01, 1.0, 86_000.0])
)
record = st.tuples(
    st.just(0.0),
    st.just(0.0),
    wild,
    wild,
    st.one_of(st.integers(0, 40), st.integers(0, 2**32 - 1)),
    st.just(0),
    st.just(0),
    st.one_of(st.integers(0, 5), st.integers(0, 2**32 - 1)),
    st.just(0),
    st.one_of(st.integers(0, 2), st.integers(0, 2**16 - 1)),
    st.one_of(st.sampled_from([0, 200, 404, 429, 500]), st.integers(0, 2**16 - 1)),
    st.one_of(st.just(0), st.integers(0, 2**8 - 1)),
    st.just(1),
)
ticks = st.lists(
    st.tuples(
        hnp.arrays(RECORD, st.integers(0, 30), elements=record),
        st.one_of(st.just(0.2), st.floats(-1e6, 1e6), st.floats(allow_nan=False, allow_infinity=False)),
        st.integers(1, 10),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(
    ticks, st.sampled_from(list(LATENCY_MODELS)), st.sampled_from(list(ERROR_MODELS)), st.sampled_from([2, MOST + 8])
)
def test_whatever_comes_in_what_goes_out_is_sound(
    history: list[tuple[Records, float, int]], latency_model: str, error_model: str, classes: int
) -> None:
    settings = LearnerSettings(latency_model=latency_model, error_model=error_model)
    model, now_s = Learner(POOLS, classes, settings), 0.0
    for records, elapsed_s, times in history:
        now_s += elapsed_s
        assert_sound(model.update(np.repeat(records, times), now_s, np.full(5, float(times))), classes)


def test_of_many_classes_the_rare_ones_share_a_model() -> None:
    classes = 10_000
    model = Learner(POOLS, classes, LearnerSettings())
    rare = some_records(200, latency_s=0.02)
    for tick in range(60):
        rare["backend"] = np.arange(200) % 3
        rare["request_class"] = 2 + (tick * 200 + np.arange(200)) % (classes - 2)
        common = [some_records(10, backend=at, request_class=0, latency_s=(0.2, 0.01, 0.01)[at]) for at in range(3)]
        snapshot = model.update(np.concatenate([rare, *common]), 0.2 * tick)
    assert_sound(snapshot, classes)
    assert snapshot.samples == 60 * 230
    assert snapshot.base_s[0, 0] > 5.0 * snapshot.base_s[0, 1]
    shared = snapshot.base_s[2:, :3]
    assert (shared == shared[0]).all()
    assert shared.max() < 2.0 * shared.min()


def test_an_hour_without_traffic_leaves_what_was_learned() -> None:
    model = learner()
    before = taught(model, *each(range(2)), *each(range(2, 3), 0.08))
    after = taught(model, NOTHING, start_s=4.0, ticks=300)
    assert_sound(model.update(NOTHING, 3600.0))
    assert after.base_s[0, :3] == pytest.approx(before.base_s[0, :3], rel=0.2)


def test_pools_that_are_not_learned_get_zeros() -> None:
    model = Learner(POOLS[1:], 2, LearnerSettings(), backends=6)
    snapshot = taught(model, *each(range(6)))
    learned = slice(POOLS[1].start, POOLS[1].stop)
    assert snapshot.weight[:, learned].sum(axis=1) == pytest.approx(1.0)
    assert snapshot.weight.sum() == pytest.approx(2.0)
    assert snapshot.weight.shape == (2, 6)
    assert snapshot.samples == 20 * 10 * len(POOLS[1])

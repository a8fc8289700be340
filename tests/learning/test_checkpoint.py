"""What was learned, as data: there and back again, and what is refused."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.learning.checkpoint import (
    SCHEMA,
    Checkpoint,
    CheckpointError,
    Names,
    digest,
    from_dict,
    from_text,
    to_dict,
    to_text,
)
from smartlb.learning.learner import Learner, LearnerSettings
from smartlb.learning.registry import ERROR_MODELS, LATENCY_MODELS
from tests.learning.telemetry import NOTHING, some_records

NAMES = Names(["default", "upload"], {"web": ["a", "b", "c"], "api": ["x", "y"]})


def learner(names: Names = NAMES, **changes: Any) -> Learner:
    ends = np.cumsum([len(backends) for backends in names.pools.values()]).tolist()
    pools = [range(first, end) for first, end in zip([0, *ends], ends, strict=False)]
    return Learner(pools, len(names.classes), LearnerSettings(**changes))


def taught(**changes: Any) -> Learner:
    """A learner in whose first pool c is four times slower, and b fails at times."""
    model = learner(**changes)
    for tick in range(40):
        batches = [some_records(10, backend=at, in_flight=tick % 3, latency_s=0.02) for at in range(5)]
        batches += [
            some_records(10, backend=2, in_flight=tick % 3, latency_s=0.14),
            some_records(3, backend=1, status=503),
        ]
        model.update(np.concatenate(batches), 0.2 * tick)
    return model


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return taught().memory(NAMES, 1.5e9)


names = st.text(max_size=8)
counts = st.floats(0, 1e9)
examples = st.fixed_dictionaries(
    {"request_class": names, "in_flight": counts, "latency_s": st.floats(1e-9, 1e5), "requests": counts}
)
backends = st.fixed_dictionaries(
    {
        "latency": st.lists(examples, max_size=3),
        "outcomes": st.dictionaries(names, st.fixed_dictionaries({"requests": counts, "failures": counts}), max_size=2),
    }
)
pools = st.fixed_dictionaries(
    {
        "latency_s": st.floats(1e-9, 1e5),
        "in_flight": counts,
        "successes": counts,
        "requests": st.dictionaries(names, counts, max_size=2),
        "backends": st.dictionaries(names, backends, max_size=3),
    }
)
contents = st.fixed_dictionaries(
    {
        "smartlb": names,
        "river": names,
        "saved_unix_s": st.none() | st.floats(0, 1e10),
        "latency": st.sampled_from(["first_byte", "total"]),
        "latency_model": names,
        "error_model": names,
        "classes": st.lists(names, max_size=3),
        "pools": st.dictionaries(names, pools, max_size=2),
    }
)


@given(contents)
@settings(max_examples=50, deadline=None)
def test_there_and_back_again(content: dict[str, Any]) -> None:
    one = Checkpoint.model_validate(content)
    assert from_dict(to_dict(one)) == one
    assert from_text(to_text(one)) == one
    assert to_text(from_text(to_text(one))) == to_text(one)


def test_it_is_plain_data_with_names(checkpoint: Checkpoint) -> None:
    data = json.loads(to_text(checkpoint))
    assert list(data) == ["schema", "sha256", "content"]
    assert list(data["content"]["pools"]["web"]["backends"]) == ["a", "b", "c"]
    slow = {each.in_flight: each.latency_s for each in checkpoint.pools["web"].backends["c"].latency}
    assert slow[0.0] > 0.05
    assert checkpoint.pools["web"].backends["b"].outcomes["default"].failures > 1.0


@pytest.mark.parametrize("model", [*LATENCY_MODELS, *ERROR_MODELS])
def test_what_is_recalled_is_claimed_at_once(model: str) -> None:
    chosen: dict[str, Any] = {"latency_model": model} if model in LATENCY_MODELS else {"error_model": model}
    before = taught(**chosen)
    warm, cold = learner(**chosen), learner(**chosen)
    recalled = warm.recall(from_text(to_text(before.memory(NAMES))), NAMES)
    assert (len(recalled.known), recalled.cold) == (5, [])
    first, blank = warm.update(NOTHING, 100.0), cold.update(NOTHING, 100.0)
    assert first.weight[0, 2] < 0.98 * first.weight[0, 0]  # gradient descent makes least of a few examples
    assert blank.weight[0, 2] == pytest.approx(blank.weight[0, 0])
    assert first.error_rate[0, 1] > first.error_rate[0, 0]
    assert np.isfinite(first.base_s).all()


def test_a_recalled_learner_is_as_good_a_memory(checkpoint: Checkpoint) -> None:
    again = learner()
    again.recall(checkpoint, NAMES)
    once_more = again.memory(NAMES).pools["web"].backends["c"].latency
    for was, now in zip(checkpoint.pools["web"].backends["c"].latency, once_more, strict=True):
        assert now.latency_s == pytest.approx(was.latency_s, rel=0.1)
        assert now.requests <= was.requests


def test_others_names_start_cold_and_gone_ones_are_left_out(checkpoint: Checkpoint) -> None:
    now = Names(["upload", "default", "new"], {"web": ["new", "c", "a"], "other": ["z"]})
    model = learner(now)
    recalled = model.recall(checkpoint, now)
    assert list(recalled.known) == ["web/c", "web/a"]
    assert list(recalled.cold) == ["web/new", "other/z"]
    snapshot = model.update(NOTHING, 0.0)
    assert snapshot.weight[1, 1] < 0.9 * snapshot.weight[1, 2]
    assert snapshot.weight[1, 1] < snapshot.weight[1, 0]
    assert snapshot.weight[:, 3] == pytest.approx(1.0)


def test_a_wrong_claim_is_unlearned_within_seconds() -> None:
    swapped = Names(NAMES.classes, {"web": ["c", "b", "a"], "api": ["x", "y"]})
    model = learner()
    model.recall(taught(error_model="ewm_rate").memory(swapped), NAMES)
    for tick in range(15):
        batch = [some_records(10, backend=at, in_flight=tick % 3, latency_s=(0.02, 0.02, 0.08)[at]) for at in range(3)]
        snapshot = model.update(np.concatenate(batch), 0.2 * tick)
    assert snapshot.weight[0, 2] < 0.6 * snapshot.weight[0, 0]


def signed(content: Any, **changes: Any) -> str:
    return json.dumps({"schema": SCHEMA, "sha256": digest(content), "content": content, **changes})


def changed(checkpoint: Checkpoint, **changes: Any) -> str:
    return signed({**checkpoint.model_dump(), **changes})


def test_what_is_no_checkpoint_is_refused_in_words(checkpoint: Checkpoint) -> None:
    whole = to_text(checkpoint)
    for text, message in (
        ("", "expected JSON"),
        (whole[:-200], "expected JSON"),
        ("[" * 100_000, "expected JSON"),
        ("[]", "expected a mapping with `schema`, `sha256` and `content`"),
        (signed({}, schema=2), "schema: expected 1; found 2 (make it anew with this version)"),
        (signed({}, schema=True), "schema: expected 1; found True"),
        (whole.replace("0.0", "0.5", 1), "sha256: expected"),
        (signed({}), "content.smartlb: Field required"),
        (signed({}).replace("{}", '{"a": NaN}'), "content: expected finite numbers"),
        (changed(checkpoint, latency="last_byte"), "content.latency: Input should be 'first_byte' or 'total'; found"),
        (changed(checkpoint, classes="all"), "content.classes: Input should be a valid list; found 'all'"),
        (changed(checkpoint, more=1), "content.more: "),
    ):
        with pytest.raises(CheckpointError) as refused:
            from_text(text)
        assert message in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "now", "message"),
    [
        ({"latency": "total"}, NAMES, "latency: expected 'total', as the learner is set to; found 'first_byte'"),
        ({"latency_model": "mean"}, NAMES, "latency_model: expected 'mean'"),
        ({"error_model": "logistic"}, NAMES, "set learner.error_model to 'ewm_rate', or make the checkpoint anew"),
        ({}, Names(["gold"], {"web": ["a"]}), "classes: expected at least one of 'gold'; found 'default', 'upload'"),
        ({}, Names(["default"], {"shop": ["a"]}), "pools: expected at least one of 'shop'; found 'web', 'api'"),
        ({}, Names(["default"], {"web": ["q"]}), "backends: expected at least one of 'web/q'; found 'web/a', 'web/b'"),
    ],
)
def test_one_that_does_not_fit_is_refused(
    checkpoint: Checkpoint, changes: dict[str, Any], now: Names, message: str
) -> None:
    model = learner(now, **changes)
    with pytest.raises(CheckpointError, match=r"\(.*\)") as refused:
        model.recall(checkpoint, now)
    assert message in str(refused.value)
    snapshot = model.update(NOTHING, 0.0)
    assert len(set(snapshot.base_s.ravel().tolist())) == 1


@given(st.binary(max_size=200))
@settings(max_examples=50, deadline=None)
def test_junk_is_refused(junk: bytes) -> None:
    with pytest.raises(CheckpointError):
        from_text(junk)

"""What the learner's process does at each interval, and when something goes wrong in it."""

from typing import Any

import pytest

from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.control.learner_process import _MOST_FAILURES, GaveUp, LearnerDuty
from smartlb.core.segment import Segment
from smartlb.process.handover import Handover, layout_of
from smartlb.process.nameless_file import content_of, unlinked_file


@pytest.fixture
def segment(config: Config) -> Segment:
    layout = layout_of(config, Numbering(config), 4)
    return Segment(memoryview(bytearray(layout.size)), layout)


@pytest.fixture
def config() -> Config:
    pools = {"p": {"backends": ["127.0.0.1:1", "127.0.0.1:2"]}}
    return Config.model_validate({"listeners": [{"bind": "127.0.0.1:0"}], "pools": pools, "workers": 1})


@pytest.fixture
def memory_fd() -> int:
    return unlinked_file()


@pytest.fixture
def duty(config: Config, segment: Segment, memory_fd: int) -> LearnerDuty:
    handover = Handover(config_fd=-1, segment_fd=-1, ring_capacity=4, memory_fd=memory_fd)
    return LearnerDuty(config, Numbering(config), segment, handover)


def failing(*_arguments: Any) -> Any:
    raise ZeroDivisionError("one batch that nobody foresaw")


def test_each_turn_publishes(duty: LearnerDuty, segment: Segment, memory_fd: int) -> None:
    for version in (1, 2):
        duty.turn()
        assert segment.snapshot.version == version
    assert content_of(memory_fd) == b""
    duty.turn(remember=True)
    assert content_of(memory_fd).endswith(b"\n")


def test_an_error_costs_a_turn_and_not_what_was_learned(
    duty: LearnerDuty, segment: Segment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    duty.turn()
    with monkeypatch.context() as patched:
        patched.setattr(duty._learner, "update", failing)
        for _ in range(_MOST_FAILURES - 1):
            duty.turn(remember=True)
    assert segment.snapshot.version == 1
    assert segment.learner_errors[0] == _MOST_FAILURES - 1
    assert "internal error in learning" in caplog.text
    assert "one batch that nobody foresaw" in caplog.text
    duty.turn()
    assert segment.snapshot.version == 2


def test_one_that_only_fails_gives_up(duty: LearnerDuty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duty._learner, "update", failing)
    for _ in range(_MOST_FAILURES - 1):
        duty.turn()
    with pytest.raises(GaveUp, match="failed 10 times in a row"):
        duty.turn()


def test_a_checkpoint_that_fails_keeps_no_snapshot_back(
    duty: LearnerDuty, segment: Segment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duty._keeper, "save_when_due", failing)
    for version in (1, 2):
        duty.turn()
        assert segment.snapshot.version == version

"""Eligibility: three reasons, one bit per backend, and a version that tells of every change."""

import logging

import pytest

from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.control.eligibility import Eligibility
from smartlb.core.segment import Layout, Segment

CONFIG = Config.model_validate(
    {
        "listeners": [{"bind": "127.0.0.1:0"}],
        "pools": {"web": {"backends": ["127.0.0.1:1", "127.0.0.1:2"]}, "api": {"backends": ["127.0.0.1:3"]}},
        "routes": [{"name": "web", "pool": "web"}],
        "workers": 1,
    }
)


@pytest.fixture
def segment() -> Segment:
    layout = Layout(workers=1, backends=3, classes=1, ring_capacity=4)
    return Segment(memoryview(bytearray(layout.size)), layout)


@pytest.fixture
def eligibility(segment: Segment) -> Eligibility:
    return Eligibility(segment, Numbering(CONFIG))


def test_every_backend_may_be_picked_at_first(eligibility: Eligibility, segment: Segment) -> None:
    assert segment.eligible.tolist() == [1, 1, 1]
    assert segment.eligibility_version[0] == 1
    assert eligibility.count("web") == 2
    assert eligibility.reasons(0) == []


def test_any_reason_is_enough_and_all_must_go(eligibility: Eligibility, segment: Segment) -> None:
    eligibility.set_health(1, False, "no answer")
    eligibility.set_ejected(1, True, "5 failures")
    eligibility.set_drained(1, True)
    assert segment.eligible.tolist() == [1, 0, 1]
    assert eligibility.reasons(1) == [
        "drained: by an operator",
        "ejected: 5 failures",
        "unhealthy: no answer",
    ]
    assert eligibility.drained(1)
    eligibility.set_health(1, True, "answered 200")
    eligibility.set_drained(1, False)
    assert segment.eligible.tolist() == [1, 0, 1]
    assert eligibility.reasons(1) == ["ejected: 5 failures"]
    eligibility.set_ejected(1, False)
    assert segment.eligible.tolist() == [1, 1, 1]
    assert eligibility.eligible(1)


def test_the_version_rises_with_each_change_of_a_bit_and_only_then(eligibility: Eligibility, segment: Segment) -> None:
    versions = []
    for unhealthy, ejected in [(True, False), (True, True), (False, True), (False, False), (False, False)]:
        eligibility.set_health(0, not unhealthy)
        eligibility.set_ejected(0, ejected)
        versions.append(int(segment.eligibility_version[0]))
    assert versions == [2, 2, 2, 3, 3]


def test_a_pool_without_eligible_backends_is_an_error_in_the_log(
    eligibility: Eligibility, caplog: pytest.LogCaptureFixture
) -> None:
    eligibility.set_health(0, False)
    assert caplog.records == []
    eligibility.set_drained(1, True)
    assert [(entry.levelno, entry.message) for entry in caplog.records] == [
        (logging.ERROR, "pool web has no eligible backend: its requests are answered 503")
    ]
    eligibility.set_drained(1, False)
    assert caplog.records[-1].message == "pool web has an eligible backend again"


def test_a_pool_panics_while_too_few_are_left(segment: Segment, caplog: pytest.LogCaptureFixture) -> None:
    eligibility = Eligibility(segment, Numbering(CONFIG), {"web": 0.6})
    assert not eligibility.panics("web")
    eligibility.set_health(0, False, "no answer")
    assert eligibility.panics("web")
    assert segment.eligible.tolist() == [2, 1, 1]
    assert eligibility.eligible(0)
    assert eligibility.count("web") == 2
    assert eligibility.reasons(0) == ["unhealthy: no answer"]
    assert caplog.records[-1].message == "pool web panics: health is ignored, as 1 of 2 backends are left"
    eligibility.set_ejected(1, True)
    assert segment.eligible.tolist() == [2, 2, 1]
    eligibility.set_health(0, True)
    eligibility.set_ejected(1, False)
    assert segment.eligible.tolist() == [1, 1, 1]
    assert not eligibility.panics("web")


def test_drained_backends_are_neither_used_nor_counted_in_a_panic(segment: Segment) -> None:
    eligibility = Eligibility(segment, Numbering(CONFIG), {"web": 0.5})
    eligibility.set_drained(0, True)
    assert not eligibility.panics("web")
    eligibility.set_health(1, False)
    assert segment.eligible.tolist() == [0, 2, 1]
    eligibility.set_drained(1, True)
    assert segment.eligible.tolist() == [0, 0, 1]
    assert not eligibility.panics("web")


def test_pools_do_not_panic_unless_they_are_told_when(segment: Segment) -> None:
    eligibility = Eligibility(segment, Numbering(CONFIG), {"web": 0.0})
    for index in range(3):
        eligibility.set_health(index, False)
    assert segment.eligible.tolist() == [0, 0, 0]


def test_workers_are_not_told_a_second_time_who_is_there(eligibility: Eligibility, segment: Segment) -> None:
    eligibility.set_gone(0, True)
    assert segment.eligible.tolist() == [1, 1, 1]
    assert not eligibility.eligible(0)
    assert eligibility.count("web") == 1
    eligibility.set_health(0, False)
    assert segment.eligible.tolist() == [0, 1, 1]
    eligibility.forget(0)
    assert segment.eligible.tolist() == [1, 1, 1]
    assert not eligibility.eligible(0)
    eligibility.set_gone(0, False)
    assert eligibility.eligible(0)


def test_backends_that_are_gone_are_not_counted_in_a_panic(segment: Segment) -> None:
    eligibility = Eligibility(segment, Numbering(CONFIG), {"web": 0.6})
    eligibility.set_gone(0, True)
    assert not eligibility.panics("web")
    eligibility.set_health(1, False)
    assert eligibility.panics("web")
    assert eligibility.count("web") == 1

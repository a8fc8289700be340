"""Where the fences stand. What they do to a processor no test shows on x86, which keeps the order by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from smartlb.config import membership
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.control import eligibility
from smartlb.core import snapshot
from smartlb.core.fence import observe, publish
from smartlb.core.segment import Segment
from smartlb.core.snapshot import Snapshot, SnapshotCell
from smartlb.process.handover import layout_of
from smartlb.process.nameless_file import unlinked_file


class Fences:
    """In place of `smartlb.core.fence`: notes what a value was at each call.

    Attributes:
        seen: the call's name, and the values.
    """

    def __init__(self, *values: Callable[[], Any]) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self._values = values

    def publish(self) -> None:
        self.seen.append(("publish", *(value() for value in self._values)))

    def observe(self) -> None:
        self.seen.append(("observe", *(value() for value in self._values)))


def test_they_are_there() -> None:
    publish()
    observe()


@pytest.fixture
def config() -> Config:
    pools = {"p": {"backends": ["127.0.0.1:1"]}}
    return Config.model_validate({"listeners": [{"bind": "127.0.0.1:0"}], "pools": pools, "workers": 1})


@pytest.fixture
def segment(config: Config) -> Segment:
    layout = layout_of(config, Numbering(config), 4)
    return Segment(memoryview(bytearray(layout.size)), layout)


def test_a_snapshot_lies_between_two_fences(monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = memoryview(bytearray(SnapshotCell.size(1, 1)))
    cell, sequence, last = SnapshotCell(buffer, 1, 1), buffer[:8].cast("Q"), buffer[-8:].cast("d")
    fences = Fences(lambda: sequence[0], lambda: last[0])
    monkeypatch.setattr(snapshot, "fence", fences)
    five = np.full((1, 1), 5.0)
    matrices = dict.fromkeys(("weight", "explore", "base_s", "slope_s", "error_rate"), five)
    cell.publish(Snapshot(version=1, published_s=0.0, **matrices, samples=0, drifts=0))
    assert fences.seen == [("publish", 1, 0.0), ("publish", 1, 5.0)]
    assert sequence[0] == 2
    fences.seen.clear()
    assert cell.read() is not None
    assert [call for call, *_ in fences.seen] == ["observe", "observe"]


def test_members_lie_between_two_fences(monkeypatch: pytest.MonkeyPatch, config: Config, segment: Segment) -> None:
    fd = unlinked_file(b"before")
    fences = Fences(lambda: int(segment.membership_version[0]))
    monkeypatch.setattr(membership, "fence", fences)
    membership.publish(fd, segment, Numbering(config).backends)
    assert fences.seen == [("publish", 1), ("publish", 1)]
    fences.seen.clear()
    assert membership.MembershipReader(fd, segment).news() == Numbering(config).backends
    assert [call for call, *_ in fences.seen] == ["observe", "observe"]


def test_eligibility_is_written_before_its_version(
    monkeypatch: pytest.MonkeyPatch, config: Config, segment: Segment
) -> None:
    fences = Fences(lambda: int(segment.eligibility_version[0]), lambda: segment.eligible.tolist())
    monkeypatch.setattr(eligibility, "fence", fences)
    backends = eligibility.Eligibility(segment, Numbering(config))
    backends.set_drained(0, True)
    assert fences.seen == [("publish", 0, [1]), ("publish", 1, [0])]
    assert segment.eligibility_version[0] == 2

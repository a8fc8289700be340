"""Who of a pool may get a request: against a plain model, and without work that a full backend would add to a pick."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from smartlb.config.model import Backend, Config
from smartlb.config.numbering import VACANT, Member, Numbering
from smartlb.core.segment import Segment
from smartlb.core.snapshot import Snapshot
from smartlb.process.handover import layout_of
from smartlb.upstream import selection
from smartlb.upstream.selection import ALL_FULL, NOBODY, Selection

SIZE, WORKERS = 4, 3
LONG_S = 1.0
"""After so long the counts of others are looked at again."""


class World:
    """A pool's selection in the first of some workers, and the memory that they share."""

    def __init__(
        self, limits: Sequence[int | None], most: int | None = None, policy: str = "least_connections", workers: int = 1
    ) -> None:
        backends: list[Any] = [
            {"address": f"10.0.0.{at}:80", **({"max_in_flight": limit} if limit is not None else {})}
            for at, limit in enumerate(limits)
        ]
        pool: dict[str, Any] = {"backends": backends, "policy": policy, "slow_start_s": 0}
        if most is not None:
            pool["max_in_flight"] = most
        config = Config.model_validate(
            {"listeners": [{"bind": "127.0.0.1:0"}], "pools": {"web": pool}, "workers": workers}
        )
        numbering = Numbering(config)
        layout = layout_of(config, numbering, 64)
        self.segment = Segment(memoryview(bytearray(layout.size)), layout)
        self.segment.eligible[:] = 1
        self.members = list(numbering.backends)
        self.selection = Selection("web", config.pools["web"], self.members, 0, self.segment, 0, Random(7), None)
        self.now_s = 1.0
        self.selection.update(None, self.now_s)

    def choose(self, *tried: int) -> int:
        return self.selection.choose(0, 0, self.now_s, tried)

    @property
    def candidates(self) -> list[int]:
        return list(self.selection.view.eligible)

    def limit(self, limits: Sequence[int | None]) -> None:
        """Give the backends other limits, as a change of members does."""
        self.members = [
            replace(member, settings=member.settings.model_copy(update={"max_in_flight": limit}))
            for member, limit in zip(self.members, limits, strict=True)
        ]
        self.selection.seat(self.members, range(len(limits)), None)
        self.selection.update(None, self.now_s)


def test_a_backend_that_fills_changes_the_view_in_place() -> None:
    world = World([1, 2, None])
    view = world.selection.view
    eligible, barred = view.eligible, view.barred
    world.selection.began(0)
    assert (list(eligible), list(barred)) == ([1, 2], [float("inf"), 0.0, 0.0])
    world.selection.began(1)
    world.selection.began(1)
    assert list(eligible) == [2]
    picks = [world.choose() for _ in range(100)]
    assert set(picks) == {2}
    world.selection.ended(1)
    assert list(eligible) == [1, 2]
    world.selection.ended(0)
    assert (list(eligible), list(barred)) == ([0, 1, 2], [0.0, 0.0, 0.0])
    assert world.selection.view is view
    assert (view.eligible is eligible, view.barred is barred) == (True, True)


def test_a_pick_while_a_backend_is_full_makes_no_view(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(name: str) -> Any:
        make = getattr(selection, name)

        def count(*given: Any, **named: Any) -> Any:
            made.append(name)
            return make(*given, **named)

        return count

    world = World([1, None, None])
    for name in ("_narrowed", "PoolView"):
        monkeypatch.setattr(selection, name, counted(name))
    world.selection.began(0)
    for _ in range(10):
        world.selection.began(world.choose())
    assert made == []
    assert world.choose(1) == 2
    assert made == ["_narrowed"], "which takes a view of its own"
    world.selection.update(None, world.now_s)
    assert made == ["_narrowed", "PoolView"], "this is how it would be seen"


def test_a_backend_that_fills_and_is_ejected_comes_back_with_room() -> None:
    world = World([1, 1])
    world.selection.began(0)
    world.segment.eligible[:] = (0, 1)
    world.selection.update(None, world.now_s)
    world.selection.ended(0)
    world.segment.eligible[:] = (1, 1)
    world.selection.update(None, world.now_s)
    assert world.candidates == [0, 1]


def test_who_has_tried_all_that_are_healthy_waits_for_none() -> None:
    world = World([1, 1])
    world.selection.began(0)
    world.selection.began(1)
    assert world.choose() == ALL_FULL
    assert world.choose(0) == ALL_FULL
    assert world.choose(0, 1) == NOBODY
    world.segment.eligible[:] = (1, 0)
    world.selection.update(None, world.now_s)
    assert world.choose(0) == NOBODY


def test_who_has_tried_all_waits_for_no_room_in_the_pool_either() -> None:
    world = World([None, None], most=1)
    world.selection.began(0)
    assert (world.choose(), world.choose(0), world.choose(0, 1)) == (ALL_FULL, ALL_FULL, NOBODY)


@pytest.mark.parametrize("explore", [0.0, 0.5])
def test_a_learned_policy_does_not_pick_who_is_full(explore: float) -> None:
    """Its rows are those of when nobody was."""
    world = World([1, 1, None], policy="learned")
    row = np.ones((1, 3))
    world.selection.update(
        Snapshot(1, 0.0, row, explore * row / 3, 0.01 * row, 0.01 * row, 0.0 * row, samples=0, drifts=0), world.now_s
    )
    assert not world.selection.on_fallback
    for full in (0, 1):
        world.selection.began(full)
        assert {world.choose() for _ in range(200)} <= set(range(full + 1, 3))
    assert world.choose(2) == ALL_FULL
    world.selection.ended(1)
    assert {world.choose(2) for _ in range(20)} == {1}


limits = st.lists(st.one_of(st.none(), st.integers(1, 3)), min_size=SIZE, max_size=SIZE)
positions = st.integers(0, SIZE - 1)


class SelectionMachine(RuleBasedStateMachine):
    """The plain rule: a backend may be picked where it is eligible, present, and below its limit."""

    @initialize(
        limits=limits,
        most=st.one_of(st.none(), st.integers(1, 6)),
        policy=st.sampled_from(["least_connections", "round_robin", "random", "power_of_two"]),
        workers=st.sampled_from([1, WORKERS]),
    )
    def begin(self, limits: list[int | None], most: int | None, policy: str, workers: int) -> None:
        self.world = World(limits, most, policy, workers)
        self.limits, self.most, self.workers = limits, most, workers
        self.own = [0] * SIZE
        self.others = [0] * SIZE  # as they were when this worker last looked
        self.eligible = [1] * SIZE
        self.looked_at_s = -LONG_S

    def counts(self) -> list[int]:
        return [own + others for own, others in zip(self.own, self.others, strict=True)]

    def open(self) -> list[int]:
        """Who may be picked."""
        counts = self.counts()
        return [
            at
            for at in range(SIZE)
            if self.eligible[at] and (self.limits[at] is None or counts[at] < (self.limits[at] or 0))
        ]

    @rule(tried=st.sets(positions, max_size=2))
    def choose(self, tried: set[int]) -> None:
        self.look()
        position = self.world.choose(*sorted(tried))
        left = [at for at in self.open() if at not in tried]
        if self.most is not None and sum(self.counts()) >= self.most:
            left = []
        if left:
            assert position in left
        else:
            waits = any(self.eligible[at] for at in range(SIZE) if at not in tried)
            assert position == (ALL_FULL if waits else NOBODY)

    @rule()
    def choose_and_begin(self) -> None:
        self.look()
        position = self.world.choose()
        if position >= 0:
            self.begin_at(position)

    @rule(position=positions)
    def begin_at(self, position: int) -> None:
        """Also beyond the limit, as a request does that another worker's has overtaken."""
        before = self.world.selection.began(position)
        assert before == self.counts()[position]
        self.own[position] += 1

    @precondition(lambda self: any(self.own))
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        position = data.draw(st.sampled_from([at for at in range(SIZE) if self.own[at]]))
        self.world.selection.ended(position)
        self.own[position] -= 1

    @precondition(lambda self: self.workers > 1)
    @rule(position=positions, count=st.integers(0, 3))
    def elsewhere(self, position: int, count: int) -> None:
        """Another worker has so many requests there."""
        self.world.segment.in_flight[1, position] = count

    @rule()
    def time_passes(self) -> None:
        self.world.now_s += LONG_S

    def look(self) -> None:
        """What a pick does first, where time has passed since the last look."""
        if self.workers > 1 and self.world.now_s > self.looked_at_s:
            self.looked_at_s = self.world.now_s
            self.others = [int(count) for count in self.world.segment.in_flight[1:].sum(axis=0)]

    @rule(eligible=st.lists(st.integers(0, 1), min_size=SIZE, max_size=SIZE))
    def update(self, eligible: list[int]) -> None:
        self.eligible = eligible
        self.world.segment.eligible[:] = eligible
        self.world.selection.update(None, self.world.now_s)

    @rule(limits=limits)
    def seat(self, limits: list[int | None]) -> None:
        self.limits = limits
        self.world.limit(limits)

    @invariant()
    def only_those_that_may_be_picked(self) -> None:
        view = self.world.selection.view
        expected = self.open()
        assert list(view.eligible) == expected
        assert [at for at, bar in enumerate(view.barred) if bar == 0.0] == expected
        assert list(view.in_flight) == self.counts()
        assert self.world.selection.under_way == sum(self.own)
        assert [self.world.selection.bars(at) for at in range(SIZE)] == [not each for each in self.eligible]


SelectionMachine.TestCase.settings = settings(derandomize=True, deadline=None, max_examples=100, stateful_step_count=30)
TestSelection = SelectionMachine.TestCase


@given(vacant=st.sets(positions), eligible=st.lists(st.integers(0, 1), min_size=SIZE, max_size=SIZE))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_positions_without_a_backend_are_not_picked(vacant: set[int], eligible: list[int]) -> None:
    config = Config.model_validate(
        {
            "listeners": [{"bind": "127.0.0.1:0"}],
            "pools": {"web": {"discovery": {"api": {}, "max_backends": SIZE}}},
            "workers": 1,
        }
    )
    numbering = Numbering(config)
    layout = layout_of(config, numbering, 64)
    segment = Segment(memoryview(bytearray(layout.size)), layout)
    chosen = Selection("web", config.pools["web"], numbering.backends, 0, segment, 0, Random(7), None)
    members = [
        Member(at, "web", at, VACANT if at in vacant else Backend(address=f"10.0.0.{at}:80"), 1) for at in range(SIZE)
    ]
    chosen.seat(members, (), None)
    segment.eligible[:] = eligible
    chosen.update(None, 1.0)
    assert list(chosen.view.eligible) == [at for at in range(SIZE) if eligible[at] and at not in vacant]

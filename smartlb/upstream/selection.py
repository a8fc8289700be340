# cython: annotation_typing=False
"""Who of a pool gets a request: the policy's pick among the backends that are eligible and have room."""

import logging
from array import array
from collections.abc import Sequence
from random import Random
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from smartlb.config.model import Pool as Settings
from smartlb.config.numbering import Member
from smartlb.core.segment import Segment
from smartlb.core.snapshot import Snapshot
from smartlb.core.view import PoolView, explore_sums, running_sums
from smartlb.policies.registry import POLICIES
from smartlb.upstream.affinity import AWAY, Affinity
from smartlb.upstream.members import members_of
from smartlb.upstream.slow_start import SlowStart

log = logging.getLogger(__name__)

NOBODY: Final = -1
"""No backend is eligible."""

ALL_FULL: Final = -2
"""Every eligible backend is at its limit."""

FALLBACK: Final = "weighted_least_connections"
"""What serves a learned pool while there is no fresh snapshot."""

_SHARED_COUNTS_AGE_S: Final = 0.0005
"""How old other workers' in-flight counts may be when a backend is picked."""

_NO_LIMIT: Final = 2**31 - 1


class Selection:
    """The choice among one pool's backends in one worker, and the counts that it goes by.

    Args:
        name, settings: of the pool.
        members: its positions.
        first: index over all pools of the first of them.
        segment: shared memory.
        worker: number of the worker.
        random: its random numbers.
        affinity: binds requests to backends; None where nothing does.

    Attributes:
        view: what the policy may look at.
        on_fallback: whether a learned pool is served by `FALLBACK` now.
        observes: whether the policy wants to hear how requests went.
        affinity_kept, affinity_lost: picks for requests bound to a backend that it got, and that another one got, so
            far.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        members: Sequence[Member],
        first: int,
        segment: Segment,
        worker: int,
        random: Random,
        affinity: Affinity | None,
    ) -> None:
        size = len(members)
        self._name = name
        self._discovers = settings.discovery is not None
        self._members = list(members)
        self._slice = slice(first, first + size)
        self._segment = segment
        self._affinity = affinity
        weight = [member.settings.weight for member in members]
        described = members_of(members)
        policy = POLICIES[settings.policy.name]
        self._primary = policy.made(described, settings.policy.options, random.getrandbits(64))
        self._learned = policy.name == "learned"
        fallback = POLICIES[FALLBACK]
        self._fallback = (
            fallback.made(described, fallback.options(), random.getrandbits(64)) if self._learned else self._primary
        )
        self._slow_start = SlowStart(settings.slow_start_s, weight)
        self._starting = False
        self.observes = self._primary.measures
        self.on_fallback = self._learned
        self._policy = self._fallback

        self._size = size
        self._in_flight = array("i", bytes(4 * size))
        self._counts = self._in_flight
        self._counts_sum = np.frombuffer(self._in_flight, dtype=np.int32)
        self._own = segment.in_flight_row(worker)[first : first + size]
        self._shared = segment.in_flight[:, self._slice]
        self._alone = segment.layout.workers == 1
        self._refresh_at_s = 0.0
        self._weight = array("d", weight)
        self._snapshot: Snapshot | None = None
        self._eligible: bytes | None = None
        self._limits = array("i", bytes(4 * size))
        self._most = _NO_LIMIT if settings.max_in_flight is None else settings.max_in_flight
        self._full = array("b", bytes(size))
        self._full_count = 0
        self._limited = False
        self.affinity_kept = self.affinity_lost = 0
        self._allowed = np.ones(size, dtype=bool)
        self._make_view()
        self._take_limits()

    # Choosing

    def choose(self, request_class: int, key: int, now_s: float, tried: tuple[int, ...]) -> int:
        """The position of a backend for a request, `NOBODY` or `ALL_FULL`.

        Args:
            request_class: its number.
            key: hash of what the policy or affinity goes by.
            now_s: monotonic time.
            tried: positions that this request has failed at already.
        """
        if not self._alone and now_s >= self._refresh_at_s:
            self._refresh(now_s)
        if self._most != _NO_LIMIT and self._total() >= self._most:
            return self._nobody_now(tried)
        if tried or self._starting or self._affinity is not None:
            return self._choose_among(request_class, key, now_s, tried)
        if not len(self._candidates):
            return self._nobody_now(tried)
        return self._policy.pick(request_class, key, now_s)

    def _nobody_now(self, tried: tuple[int, ...]) -> int:
        """`ALL_FULL` where it is worth waiting for room, `NOBODY` where there is none to wait for."""
        if not tried:
            return ALL_FULL if len(self._candidates) or self._full_count else NOBODY
        for position in range(self._size):
            if self._allowed[position] and position not in tried:
                return ALL_FULL
        return NOBODY

    def _choose_among(self, request_class: int, key: int, now_s: float, tried: tuple[int, ...]) -> int:
        """`choose` where not all depends on the policy alone."""
        view = _narrowed(self.view, tried) if tried else self.view
        if not len(view.eligible):
            return self._nobody_now(tried)
        if self._affinity is not None:
            if key:
                position, bound = self._affinity.pick(view, key, now_s)
                if bound:
                    self.affinity_kept += 1
                else:
                    self.affinity_lost += 1
                if position != AWAY:
                    return position
            key = 0  # is the affinity's; the policy wants none
        other_views = bool(tried) or self._starting
        try:
            if tried:
                self._policy.see(view)
            if self._starting:
                return self._pick_slowly(view, request_class, key, now_s)
            return self._policy.pick(request_class, key, now_s)
        finally:
            if other_views:
                self._policy.see(self.view)

    def _pick_slowly(self, view: PoolView, request_class: int, key: int, now_s: float) -> int:
        """The policy's pick while backends start: what one of them has not earned goes to the others."""
        policy, slow_start = self._policy, self._slow_start
        slow_start.earn(self.view.eligible, now_s)
        self._starting = bool(slow_start)
        position = policy.pick(request_class, key, now_s)
        while not slow_start.spend(position, regardless=len(view.eligible) == 1):
            view = _narrowed(view, (position,))
            policy.see(view)
            # With other draws: the same would favour the neighbours of the one that was refused.
            position = policy.pick(request_class, key, now_s)
        return position

    def observe(self, position: int, now_s: float, latency_s: float, failed: bool) -> None:
        """Tell a policy that measures how a request went."""
        self._primary.observe(position, now_s, latency_s, failed)

    def response_line(self, key: int, position: int) -> bytes:
        """What affinity adds to the head of a response: a header line with its CRLF, or nothing.

        Args:
            key: as `choose` got it.
            position: of the backend that answered.
        """
        return b"" if self._affinity is None else self._affinity.response_line(self._unlimited, key, position)

    def bars(self, position: int) -> bool:
        """Whether a backend is not eligible now, be it with room or without."""
        return not self._allowed[position]

    # Counting

    def began(self, position: int) -> int:
        """Count a request in; returns how many the backend had before."""
        before = self._counts[position]
        self._counts[position] = before + 1
        self._own[position] += 1
        if self._limited and before + 1 >= self._limits[position] and not self._full[position]:
            self._fills(position)
        return before

    def ended(self, position: int) -> None:
        """Count a request out."""
        left = self._counts[position] - 1
        self._counts[position] = left
        self._own[position] -= 1
        if self._full[position] and left < self._limits[position]:
            self._has_room(position)

    def _total(self) -> int:
        total = 0
        for position in range(self._size):
            total += self._counts[position]
        return total

    def _refresh(self, now_s: float) -> None:
        """Take in what other workers have in flight."""
        self._refresh_at_s = now_s + _SHARED_COUNTS_AGE_S
        self._shared.sum(axis=0, out=self._counts_sum)
        if self._limited:
            self._compare_with_limits()

    def _compare_with_limits(self) -> None:
        for position in range(self._size):
            full = self._counts[position] >= self._limits[position]
            if full and not self._full[position]:
                self._fills(position)
            elif not full and self._full[position]:
                self._has_room(position)

    def _fills(self, position: int) -> None:
        """A backend is at its limit: no policy may pick it until it has room."""
        self._full[position] = 1
        if self._allowed[position]:
            self._full_count += 1
            self._candidates.remove(position)
            self._barred[position] = float("inf")

    def _has_room(self, position: int) -> None:
        self._full[position] = 0
        if self._allowed[position]:
            self._full_count -= 1
            at = 0
            for candidate in self._candidates:
                if candidate > position:
                    break
                at += 1
            self._candidates.insert(at, position)
            self._barred[position] = 0.0

    @property
    def under_way(self) -> int:
        """This worker's requests at backends."""
        return sum(self._own)

    def has_room_besides(self, tried: Sequence[int], waiting: bool) -> bool:
        """Whether a request at a backend could go to one that is not in `tried` instead.

        Args:
            tried: positions.
            waiting: whether others wait for room, for whom its place in the pool would be.
        """
        if self._most != _NO_LIMIT and (waiting or self._total() > self._most):
            # The place in the pool that it would leave is not its own any more.
            return False
        return any(position not in tried for position in self.view.eligible)

    # What there is to choose from

    def _make_view(self) -> None:
        """Make what policies look at, for the present snapshot and eligibility."""
        allowed, snapshot = self._allowed, self._snapshot
        draw: Sequence[float]
        explore: Sequence[float]
        base_s: Sequence[float]
        slope_s: Sequence[float]
        if snapshot is None:
            # The fallback does not look at the learned rows; a learned policy is not asked without a snapshot.
            draw = explore = base_s = slope_s = array("d")
        else:
            own = self._slice
            draw = _row_array(running_sums(snapshot.weight[:, own], allowed))
            explore = _row_array(explore_sums(snapshot.explore[:, own], allowed))
            base_s, slope_s = _row_array(snapshot.base_s[:, own]), _row_array(snapshot.slope_s[:, own])
        self._candidates = array("i", np.flatnonzero(allowed).astype(np.int32).tobytes())
        barred = array("d", np.where(allowed, 0.0, np.inf).tobytes())
        self._barred = barred
        self.view = PoolView(
            eligible=self._candidates,
            barred=barred,
            in_flight=self._in_flight,
            weight=self._weight,
            draw=draw,
            explore=explore,
            base_s=base_s,
            slope_s=slope_s,
        )
        # For those who ask whether a backend is away, which one is not that only has no room.
        self._unlimited = self.view._replace(eligible=array("i", self._candidates), barred=array("d", barred))
        self._full_count = 0
        for position in range(self._size):
            if self._full[position]:
                self._fills(position)

    @property
    def predicts(self) -> bool:
        """Whether the view has what the learner predicts."""
        return self._snapshot is not None

    def label(self, position: int) -> str:
        """What a backend is called."""
        return self._members[position].settings.label

    def seat(self, members: Sequence[Member], same: Sequence[int], affinity: Affinity | None) -> None:
        """Go on with other members; `update` is to be called afterwards.

        Args:
            members: of all positions.
            same: positions that have the backend that they had.
            affinity: binds requests to these members.
        """
        self._members = list(members)
        self._affinity = affinity
        # A view that is in use keeps its weights; the next one has these.
        self._weight = array("d", [member.settings.weight for member in members])
        self._take_limits()
        described = members_of(members)
        self._slow_start.reweigh(self._weight)
        for policy in {self._primary, self._fallback}:
            policy.renew(described, same)

    def _take_limits(self) -> None:
        given = [member.settings.max_in_flight for member in self._members]
        self._limits = array("i", [_NO_LIMIT if limit is None else limit for limit in given])
        self._limited = self._most != _NO_LIMIT or any(limit is not None for limit in given)
        self._compare_with_limits()

    def update(self, snapshot: Snapshot | None, now_s: float) -> None:
        """Take in the shared eligibility and a snapshot; None where there is no fresh one."""
        self._snapshot = snapshot if self._learned else None
        eligible = self._segment.eligible[self._slice].copy()
        if self._discovers:
            # The segment says nothing of whether there is a backend; see `smartlb.control.eligibility`.
            eligible *= np.array([member.present for member in self._members], dtype=np.uint8)
        self._allowed = eligible != 0
        self._make_view()
        if self._eligible is not None:
            before = np.frombuffer(self._eligible, np.uint8)
            # Not those that a panic brings in: it is there to spare the others.
            self._slow_start.begin(np.flatnonzero((before == 0) & (eligible == 1)).tolist(), now_s)
        self._starting = bool(self._slow_start)
        self._eligible = eligible.tobytes()
        fall_back = self._learned and snapshot is None
        if fall_back and not self.on_fallback:
            log.warning("pool %s: no fresh snapshot from the learner, %s takes over", self._name, FALLBACK)
        elif self.on_fallback and not fall_back:
            log.info("pool %s: routed by learned weights", self._name)
        self.on_fallback = fall_back
        self._policy = self._fallback if fall_back else self._primary
        self._policy.see(self.view)


def _row_array(rows: npt.NDArray[np.float64]) -> "array[float]":
    """Rows one after the other, which both a loop and numpy read without a copy."""
    return array("d", np.ascontiguousarray(rows).tobytes())


def _narrowed(view: PoolView, positions: tuple[int, ...]) -> PoolView:
    """A view without these positions."""
    barred: Any = array("d", view.barred)
    for position in positions:
        barred[position] = float("inf")
    eligible = array("i", [position for position in view.eligible if position not in positions])
    return view._replace(eligible=eligible, barred=barred)

"""The ring behind ip_hash and url_hash."""

import random
from array import array
from collections import Counter
from collections.abc import Collection, Sequence
from hashlib import blake2b
from math import ceil
from typing import Any

import pytest

from smartlb.policies.hash_ring import Memory, Options, point_counts, remember
from smartlb.policies.policy import Members
from smartlb.policies.registry import POLICIES
from smartlb.policies.ring_walk import PROGRAM
from tests.policies.pools import members, pool_view

_chance = random.Random(7)
KEYS = [_chance.getrandbits(64) for _ in range(4_000)]


def ring(weight: Sequence[float], **options: Any) -> Memory:
    return remember(members(weight), Options(**options))


def owners(size: int, memory: Memory, barred: Collection[int] = ()) -> list[int]:
    pool = pool_view([0] * size, barred=barred)
    return [PROGRAM.pick(pool, memory, 0, key, 0.0, ()) for key in KEYS]


def test_the_policies_differ_by_their_key() -> None:
    assert {name: POLICIES[name].key for name in ("ip_hash", "url_hash")} == {
        "ip_hash": "client_ip",
        "url_hash": "url",
    }
    assert POLICIES["ip_hash"].program is POLICIES["url_hash"].program is PROGRAM


def test_a_point_is_a_digest_of_the_name() -> None:
    memory = remember(Members(["a"], [1.0]), Options())
    digest = blake2b(b"a#3", digest_size=64).digest()
    assert len(memory.points) == 160
    assert all(int.from_bytes(digest[at : at + 8], "little") in memory.points for at in range(0, 64, 8))


def test_keys_stay_where_earlier_releases_put_them() -> None:
    assert owners(5, ring([1.0] * 5))[:12] == [1, 2, 3, 1, 3, 3, 4, 4, 1, 1, 0, 3]


def test_a_key_belongs_to_the_first_point_at_or_after_it() -> None:
    memory = Memory(array("Q", [10, 20, 30]), array("i", [2, 0, 1]), 3, array("q", [1, 1, 1]), 0.0)
    pool = pool_view([0] * 3)
    picked = {key: PROGRAM.pick(pool, memory, 0, key, 0.0, ()) for key in (0, 10, 11, 20, 30, 31, 2**64 - 1)}
    assert picked == {0: 2, 10: 2, 11: 0, 20: 0, 30: 1, 31: 2, 2**64 - 1: 2}


def test_the_order_of_the_members_does_not_matter() -> None:
    names = [f"backend-{at}" for at in range(6)]
    turned = remember(Members(names[::-1], [1.0] * 6), Options())
    assert [5 - at for at in owners(6, turned)] == owners(6, ring([1.0] * 6))


def test_equal_weights_share_alike() -> None:
    shares = Counter(owners(10, ring([1.0] * 10)))
    assert all(0.65 < shares[at] / (len(KEYS) / 10) < 1.35 for at in range(10))


def test_a_share_follows_its_weight() -> None:
    shares = Counter(owners(4, ring([1.0, 2.0, 3.0, 4.0])))
    assert [shares[at] / len(KEYS) for at in range(4)] == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.06)


@pytest.mark.parametrize("gone", [0, 4, 9])
def test_only_the_keys_of_a_barred_backend_move(gone: int) -> None:
    memory = ring([1.0] * 10)
    before, after = owners(10, memory), owners(10, memory, barred={gone})
    moved = [old for old, new in zip(before, after, strict=True) if old != new]
    assert set(moved) == {gone}
    assert 0.05 < len(moved) / len(KEYS) < 0.15


@pytest.mark.parametrize("gone", [0, 4, 9])
def test_removing_a_member_moves_the_same_keys_to_the_same_backends_as_barring_it(gone: int) -> None:
    whole = members([1.0] * 10)
    names = [name for at, name in enumerate(whole.names) if at != gone]
    smaller = owners(9, remember(Members(names, [1.0] * 9), Options()))
    barred = owners(10, remember(whole, Options()), barred={gone})
    assert [names[at] for at in smaller] == [whole.names[at] for at in barred]


def test_a_barred_backends_keys_spread_over_the_others() -> None:
    memory = ring([1.0] * 10)
    before, after = owners(10, memory), owners(10, memory, barred={3})
    heirs = {new for old, new in zip(before, after, strict=True) if old == 3}
    assert len(heirs) >= 7


@pytest.mark.parametrize(
    ("weight", "counts"),
    [
        ([1.0, 1.0], [160, 160]),
        ([1.0, 0.5, 2.5], [160, 80, 400]),
        ([0.25, 0.25], [40, 40]),
        ([0.1, 0.1], [64, 64]),
        ([256.0, 0.001], [40960, 1]),
        ([256.0] * 100, [5120] * 100),
    ],
)
def test_points_are_160_per_weight_within_bounds(weight: list[float], counts: list[int]) -> None:
    assert point_counts(weight) == counts


def fill(memory: Memory, requests: int, weight: Sequence[float], barred: Collection[int] = ()) -> list[int]:
    """The loads when `requests` with the same key stay in flight."""
    pool = pool_view([0] * len(weight), weight=weight, barred=barred)
    in_flight: Any = pool.in_flight
    for _ in range(requests):
        in_flight[PROGRAM.pick(pool, memory, 0, 1, 0.0, ())] += 1
    return list(in_flight)


def test_without_a_bound_one_key_has_one_backend() -> None:
    assert sorted(fill(ring([1.0] * 3), 50, [1.0] * 3)) == [0, 0, 50]


def test_the_bound_is_a_multiple_of_the_fair_share_rounded_up() -> None:
    # With 3 backends and a bound of 2, the n-th request meets a limit of ceil(2n / 3): 1, 2, 2, 3, 4, 4.
    weight = [1.0] * 3
    memory = ring(weight, load_bound=2.0)
    assert [sorted(fill(memory, count, weight)) for count in range(1, 7)] == [
        [0, 0, 1],
        [0, 0, 2],
        [0, 1, 2],
        [0, 1, 3],
        [0, 1, 4],
        [0, 2, 4],
    ]


@pytest.mark.parametrize("size", [3, 10, 50])
def test_a_bound_of_one_levels_the_load(size: int) -> None:
    weight = [1.0] * size
    assert fill(ring(weight, load_bound=1.0), 4 * size, weight) == [4] * size


@pytest.mark.parametrize("size", [8, 40])
def test_the_bound_is_shared_by_eligible_weight(size: int) -> None:
    weight, barred = [float(1 + at % 4) for at in range(size)], {1, 5}
    total = sum(weight) - weight[1] - weight[5]
    loads = fill(ring(weight, load_bound=1.25), 200, weight, barred)
    assert loads[1] == loads[5] == 0
    assert all(load <= ceil(1.25 * 200 * weight[at] / total) for at, load in enumerate(loads))


def test_requests_at_barred_backends_do_not_loosen_the_bound() -> None:
    memory = Memory(array("Q", [10, 20, 30]), array("i", [0, 1, 2]), 3, array("q", [1, 1, 1]), 1.25)
    # Backend 1 may have ceil(1.25 × 4 / 2) = 3; with the barred backend's 50 counted it would be 34.
    assert PROGRAM.pick(pool_view([50, 3, 0], barred={0}), memory, 0, 15, 0.0, ()) == 2


@pytest.mark.parametrize("bound", [0.99, 0.0, -1.0, float("nan"), float("inf")])
def test_a_bound_below_one_is_refused(bound: float) -> None:
    with pytest.raises(ValueError, match="load_bound"):
        Options(load_bound=bound)

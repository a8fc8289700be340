"""Buckets that processes share, against the arithmetic of one bucket; times are given."""

import os
import struct
import subprocess
import sys
from contextlib import ExitStack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.limits.shared_buckets import SLOT_BYTES, SharedBuckets, bytes_for
from smartlb.limits.token_bucket import TokenBucket

steady = settings(deadline=None, derandomize=True)

SMALLEST = bytes_for(1)
PROCESSES = 4


def memory(clients: int) -> memoryview:
    return memoryview(bytearray(bytes_for(clients)))


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    buckets = SharedBuckets(memory(10), 2.0, 3)
    assert [buckets.take(1, 100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert buckets.take(1, 100.25) == 0.25
    assert buckets.take(1, 100.5) == 0.0
    assert buckets.take(1, 100.5) == 0.5
    assert buckets.take(2, 100.5) == 0.0, "another client has its own"
    assert [buckets.take(1, 200.0) for _ in range(4)] == [0.0, 0.0, 0.0, 0.5], "a rest fills it, but not beyond"


@steady
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 2**64 - 1).map(lambda key: key % 8), st.integers(0, 300)),
        max_size=300,
    )
)
def test_processes_together_do_what_the_arithmetic_says(takes: list[tuple[int, int, int]]) -> None:
    shared = memory(8)
    processes = [SharedBuckets(shared, 4.0, 3) for _ in range(2)]
    bucket, full_at_s, now_s = TokenBucket(4.0, 3), dict.fromkeys(range(8), 0.0), 1_000.0
    for process, key, pause in takes:
        now_s += pause / 1_000
        expected = bucket.wait_s(full_at_s[key], now_s)
        # 0 stands for no key in the table, and is a key like others all the same.
        assert processes[process].take(key * 2**60 if key else 0, now_s) == expected
        if expected == 0.0:
            full_at_s[key] = bucket.taken(full_at_s[key], now_s)


@pytest.mark.parametrize("size", [0, SMALLEST - 64, SMALLEST + 16])
def test_memory_that_is_no_table_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="no table of buckets"):
        SharedBuckets(memoryview(bytearray(size)), 1.0, 1)


@steady
@given(st.integers(1, 10_000_000))
def test_a_table_has_room_for_twice_its_clients(clients: int) -> None:
    size = bytes_for(clients)
    assert size % 64 == 0
    assert max(2 * clients, 16) <= size / SLOT_BYTES < max(2 * clients, 16) + 4


def test_a_client_that_rests_is_forgotten_for_one_that_comes() -> None:
    buckets = SharedBuckets(memory(1), 1.0, 1)
    for key in range(1, 17):
        assert buckets.take(key, 10.0) == 0.0
    assert buckets.take(1, 10.5) > 0.0
    for key in range(101, 117):
        assert buckets.take(key, 11.0) == 0.0, "all buckets are full again, so nothing is lost"
    assert buckets.take(1, 11.0) == 0.0


def test_who_is_refused_is_not_forgotten_for_the_sake_of_made_up_clients() -> None:
    buckets = SharedBuckets(memory(1), 1.0, 5)
    heavy = range(1, 16)
    for key in heavy:
        assert [buckets.take(key, 10.0) for _ in range(6)] == [0.0] * 5 + [1.0]
    for made_up in range(1_000, 2_000):
        assert buckets.take(made_up, 10.0) == 0.0
    assert [buckets.take(key, 10.0) for key in heavy] == [1.0] * len(heavy)


def test_what_a_killed_process_leaves_is_taken_over() -> None:
    shared = memory(1)
    for at in range(0, len(shared), SLOT_BYTES):
        struct.pack_into("=Qd", shared, at, 2**63 | 100_000_000_000, 7_000.0)  # marked at 100 s, with another's time
    buckets = SharedBuckets(shared, 1.0, 2)
    assert [buckets.take(1, 100.9) for _ in range(5)] == [0.0] * 5, "others may have been about to finish"
    assert [buckets.take(1, 101.0) for _ in range(3)] == [0.0, 0.0, 1.0]
    assert [buckets.take(2, 101.0) for _ in range(3)] == [0.0, 0.0, 1.0]


HAMMER = """
import mmap, sys
from smartlb.limits.shared_buckets import SharedBuckets
fd, size, burst, times, clients, step = map(int, sys.argv[1:])
buckets = SharedBuckets(memoryview(mmap.mmap(fd, size)), 1024.0, burst)
print(flush=True)
sys.stdin.readline()
for client in range(clients):
    key = 1 + client * step % clients
    print(key, sum(buckets.take(key * 2**40, 100.0) == 0.0 for _ in range(times)))
"""


def hammered(burst: int, times: int, clients: int) -> dict[int, int]:
    """How many requests of each client passed, all at one moment, in processes that run at once, each in its order."""
    size = bytes_for(2 * clients)
    fd = os.memfd_create("buckets")
    passed = dict.fromkeys(range(1, clients + 1), 0)
    with ExitStack() as stack:
        stack.callback(os.close, fd)
        os.ftruncate(fd, size)
        numbers = [fd, size, burst, times, clients]
        children = [
            subprocess.Popen(
                [sys.executable, "-c", HAMMER, *map(str, numbers), str(step)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=[fd],
                text=True,
            )
            for step in (1, 1, 1, 7)[:PROCESSES]
        ]
        for child in children:
            stack.enter_context(child)
            stack.callback(child.kill)
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in children:
            output, _ = child.communicate(timeout=60)
            for line in output.splitlines():
                key, count = map(int, line.split())
                passed[key] += count
    return passed


def test_processes_that_hammer_one_bucket_get_its_burst_in_all() -> None:
    burst, times = 500_000, 200_000
    (passed,) = hammered(burst, times, 1).values()
    assert burst <= passed < burst + PROCESSES


def test_processes_that_meet_many_clients_at_once_get_their_bursts() -> None:
    passed = hammered(3, 2, 20_001).values()
    assert all(3 <= count < 3 + PROCESSES for count in passed)

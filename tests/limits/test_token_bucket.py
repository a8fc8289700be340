from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.limits.allowance import BURST_S, Allowance
from smartlb.limits.token_bucket import TokenBucket

steady = settings(deadline=None, derandomize=True)


def passed(per_s: float, burst: float, times_s: list[float]) -> list[bool]:
    """Whether there was a token at each of some times."""
    bucket, full_at_s, results = TokenBucket(per_s, burst), 0.0, []
    for now_s in times_s:
        results.append(bucket.wait_s(full_at_s, now_s) == 0.0)
        if results[-1]:
            full_at_s = bucket.taken(full_at_s, now_s)
    return results


@steady
@given(st.integers(1, 100), st.integers(1, 10), st.lists(st.integers(0, 50), max_size=200))
def test_it_is_the_bucket_that_a_count_of_tokens_describes(per_s: int, burst: int, pauses: list[int]) -> None:
    now, tokens, times, expected = 0, burst * 1_000, [], []
    for pause in pauses:
        now += pause
        tokens = min(burst * 1_000, tokens + pause * per_s)  # thousandths, and times in milliseconds
        times.append(now / 1_000)
        expected.append(tokens >= 1_000)
        tokens -= 1_000 * expected[-1]
    assert passed(per_s, burst, times) == expected


def test_who_waits_as_long_as_told_gets_a_token() -> None:
    bucket, full_at_s = TokenBucket(3.0, 2), 0.0
    for _ in range(2):
        full_at_s = bucket.taken(full_at_s, 1e6)
    wait_s = bucket.wait_s(full_at_s, 1e6)
    assert 0.33 < wait_s < 0.34
    assert bucket.wait_s(full_at_s, 1e6 + wait_s) == 0.0


def test_in_the_long_run_the_rate_is_kept() -> None:
    assert 700 <= sum(passed(7.0, 5, [tick / 100 for tick in range(10_000)])) <= 706


def test_a_peer_may_do_ten_seconds_worth_at_once() -> None:
    allowance = Allowance(2.0)
    assert [allowance.take(5.0) for _ in range(21)] == [True] * int(2 * BURST_S) + [False]
    assert allowance.take(5.5)
    assert not allowance.take(5.5)

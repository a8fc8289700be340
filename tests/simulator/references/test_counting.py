"""References that need no world: Envoy, HAProxy, Linux, Kong, tower and Linkerd."""

from collections import Counter
from math import exp
from typing import Any

import pytest

from simulator.references import (
    envoy_least_request,
    haproxy_leastconn,
    kong_latency,
    lvs_nq,
    tower_peak_ewma,
)
from simulator.references.registry import REFERENCES
from tests.policies.pools import pool_view
from tests.simulator.references.worlds import memory_of, world_of

WORLD = world_of(3)


class TestEnvoyLeastRequest:
    def test_equal_weights_take_the_less_busy_of_two_with_replacement(self) -> None:
        memory = memory_of("envoy_least_request", [1.0] * 3)
        pool = pool_view([5, 1, 1])
        for draws, picked in (((0.0, 0.4), 1), ((0.4, 0.9), 1), ((0.9, 0.4), 2), ((0.0, 0.1), 0)):
            assert envoy_least_request.pick(pool, WORLD, memory, 0, 0, 0.0, draws) == picked

    def test_unequal_weights_take_turns_by_weight(self) -> None:
        # Due at 1/2, 1: a; then both at 1, b was put in before: b, a; then a at 3/2, b and a at 2 ...
        assert self.turns([2.0, 1.0], [0, 0], 7) == [0, 1, 0, 0, 1, 0, 0]
        assert Counter(self.turns([2.0, 1.0], [4, 0], 70)) == {0: 20, 1: 50}
        assert Counter(self.turns([2.0, 1.0], [4, 0], 30, bias=0.0)) == {0: 20, 1: 10}

    def test_the_schedule_begins_somewhere(self) -> None:
        assert self.turns([2.0, 1.0], [0, 0], 3, draw=0.5) == [1, 0, 0]

    def turns(
        self, weight: list[float], in_flight: list[int], count: int, draw: float = 0.0, **options: Any
    ) -> list[int]:
        memory = memory_of("envoy_least_request", weight, **options)
        pool = pool_view(in_flight, weight=weight)
        return [envoy_least_request.pick(pool, WORLD, memory, 0, 0, 0.0, (draw, 0.0)) for _ in range(count)]

    def test_one_that_was_away_does_not_catch_up(self) -> None:
        memory = memory_of("envoy_least_request", [2.0, 1.0])
        away, back = (pool_view([0, 0], weight=[2.0, 1.0], barred=barred) for barred in ({1}, set[int]()))
        for _ in range(50):
            envoy_least_request.pick(away, WORLD, memory, 0, 0, 0.0, (0.0, 0.0))
        picked = [envoy_least_request.pick(back, WORLD, memory, 0, 0, 0.0, (0.0, 0.0)) for _ in range(6)]
        assert picked.count(1) in (2, 3)


class TestHaproxyLeastconn:
    def test_the_key_is_in_whole_numbers_and_idle_is_first(self) -> None:
        memory = memory_of("haproxy_leastconn", [1.0, 3.0, 256.0])
        key = haproxy_leastconn.key_of
        assert [key(memory, 0, in_flight) for in_flight in (0, 1, 2)] == [0, 512, 768]
        assert [key(memory, 1, in_flight) for in_flight in (1, 2)] == [170, 256]
        assert key(memory, 2, 1) == 2

    def test_equals_take_turns(self) -> None:
        memory = memory_of("haproxy_leastconn", [1.0] * 3)
        pool = pool_view([0, 0, 0])
        assert [haproxy_leastconn.pick(pool, WORLD, memory, 0, 0, 0.0, ()) for _ in range(4)] == [0, 1, 2, 0]
        haproxy_leastconn.observe(WORLD, memory, 1, 0.0, 0.0, False)
        assert [haproxy_leastconn.pick(pool, WORLD, memory, 0, 0, 0.0, ()) for _ in range(3)] == [2, 0, 1]

    def test_the_lowest_key_is_picked(self) -> None:
        memory = memory_of("haproxy_leastconn", [1.0, 4.0, 1.0])
        assert haproxy_leastconn.pick(pool_view([1, 5, 2]), WORLD, memory, 0, 0, 0.0, ()) == 1
        assert haproxy_leastconn.pick(pool_view([1, 8, 2]), WORLD, memory, 0, 0, 0.0, ()) == 0


@pytest.mark.parametrize(
    ("in_flight", "weight", "picked"),
    [
        ([3, 0, 0], [1.0, 1.0, 100.0], 1),
        ([3, 5, 5], [1.0, 1.0, 3.0], 2),
        # 4/1 and 8/2 are equal.
        ([3, 7, 9], [1.0, 2.0, 1.0], 0),
    ],
)
def test_lvs_nq_takes_the_first_idle_one_or_the_least_delay(
    in_flight: list[int], weight: list[float], picked: int
) -> None:
    assert lvs_nq.pick(pool_view(in_flight, weight=weight), WORLD, (), 0, 0, 0.0, ()) == picked


class TestKongLatency:
    def test_averages_by_time(self) -> None:
        memory = memory_of("kong_latency", [1.0])
        kong_latency.observe(WORLD, memory, 0, 10.0, 0.5, False)
        assert memory.average_s[0] == pytest.approx(0.5 * (1 - exp(-1)))
        kong_latency.observe(WORLD, memory, 0, 20.0, 0.1, False)
        assert memory.average_s[0] == pytest.approx(0.5 * (1 - exp(-1)) * exp(-1) + 0.1 * (1 - exp(-1)))

    def test_the_least_by_weight_is_picked_and_looking_changes_nothing(self) -> None:
        memory = memory_of("kong_latency", [1.0] * 3)
        for at, latency_s in enumerate((0.3, 0.5, 0.2)):
            memory.average_s[at] = latency_s
        pool = pool_view([0, 0, 99], weight=[1.0, 3.0, 1.0])
        before = list(memory.average_s)
        assert kong_latency.pick(pool, WORLD, memory, 0, 0, 50.0, ()) == 1
        assert kong_latency.decayed_s(memory, 1, 10.0) == pytest.approx(0.5 * exp(-1))
        assert list(memory.average_s) == before

    def test_those_without_history_come_first(self) -> None:
        memory = memory_of("kong_latency", [1.0] * 3)
        memory.average_s[0] = 0.1
        assert kong_latency.pick(pool_view([0, 9, 0]), WORLD, memory, 0, 0, 0.0, ()) == 1


class TestTowerPeakEwma:
    @pytest.mark.parametrize(("name", "default_s"), [("tower_peak_ewma", 1.0), ("linkerd", 0.03)])
    def test_begins_at_the_default_and_decays(self, name: str, default_s: float) -> None:
        memory = memory_of(name, [1.0] * 2)
        assert tower_peak_ewma.load(memory, 0, 0.0, 0) == default_s
        assert tower_peak_ewma.load(memory, 1, 10.0, 2) == pytest.approx(default_s * exp(-1) * 3)

    def test_a_peak_counts_at_once_and_lower_latencies_by_time(self) -> None:
        memory = memory_of("tower_peak_ewma", [1.0], decay_s=1.0, default_rtt_s=0.02)
        tower_peak_ewma.observe(WORLD, memory, 0, 0.3, 0.2, False)
        assert memory.cost_s[0] == 0.2
        tower_peak_ewma.observe(WORLD, memory, 0, 1.3, 0.1, False)
        assert memory.cost_s[0] == pytest.approx(0.2 * exp(-1) + 0.1 * (1 - exp(-1)))

    def test_a_busy_backend_without_history_is_not_avoided(self) -> None:
        memory = memory_of("linkerd", [1.0] * 2)
        tower_peak_ewma.observe(WORLD, memory, 1, 0.0, 0.5, False)
        assert tower_peak_ewma.pick(pool_view([1, 0]), WORLD, memory, 0, 0, 0.0, (0.0, 0.0)) == 0

    def test_both_pick_alike(self) -> None:
        assert REFERENCES["linkerd"].pick is REFERENCES["tower_peak_ewma"].pick

"""c3, grpc_wrr and atw: what comes back with the answers."""

from collections import Counter
from typing import Any

import pytest

from simulator.references import atw, c3, grpc_wrr
from simulator.references.reference import Observe
from tests.policies.pools import pool_view
from tests.simulator.references.worlds import memory_of, world_of


class TestC3:
    def test_the_rank_is_in_milliseconds_with_the_cube_of_the_queue(self) -> None:
        memory = memory_of("c3", [1.0])
        report(c3.observe, memory, 0, 0.1, queue=2, service_s=0.02)
        # q = 1 + 1 + 2
        assert c3.rank(memory, 0, 1) == pytest.approx(100 - 20 + 64 * 20)
        several = memory_of("c3", [1.0], clients=5)
        report(c3.observe, several, 0, 0.1, queue=2, service_s=0.02)
        assert c3.rank(several, 0, 1) == pytest.approx(100 - 20 + 8**3 * 20)

    def test_averages_take_three_tenths_of_a_sample(self) -> None:
        memory = memory_of("c3", [1.0])
        report(c3.observe, memory, 0, 0.1, queue=2, service_s=0.02)
        report(c3.observe, memory, 0, 0.2, queue=5, service_s=0.04)
        assert memory.response_s[0] == pytest.approx(0.13)
        assert memory.service_s[0] == pytest.approx(0.026)
        # 2.9 counts as 2.
        assert memory.queue[0] == pytest.approx(2.9)
        assert c3.rank(memory, 0, 0) == pytest.approx(130 - 26 + 27 * 26)

    def test_failures_do_not_count(self) -> None:
        memory = memory_of("c3", [1.0])
        c3.observe(world_of(1), memory, 0, 0.0, 0.1, True)
        assert memory == memory_of("c3", [1.0])

    def test_those_without_an_answer_come_first(self) -> None:
        memory = memory_of("c3", [1.0] * 2)
        report(c3.observe, memory, 0, 0.001, queue=0, service_s=0.001)
        assert c3.pick(pool_view([0, 50]), world_of(2), memory, 0, 0, 0.0, (0.0,)) == 1

    def test_the_others_move_towards_the_winner(self) -> None:
        memory, still = memory_of("c3", [1.0] * 2), memory_of("c3", [1.0] * 2, adjust=False)
        for known in (memory, still):
            report(c3.observe, known, 0, 0.1, queue=1, service_s=0.02)
            report(c3.observe, known, 1, 0.3, queue=4, service_s=0.04)
            assert c3.pick(pool_view([0, 0]), world_of(2), known, 0, 0, 0.0, (0.0,)) == 0
        assert list(memory.response_s) == pytest.approx([0.1, 0.3 * 0.2 + 0.7 * 0.3])
        assert list(memory.service_s) == pytest.approx([0.02, 0.3 * 0.03 + 0.7 * 0.04])
        assert list(memory.queue) == pytest.approx([1.0, 0.3 * 2 + 0.7 * 4])
        assert list(still.response_s) == [0.1, 0.3]


def report(observe: Observe, memory: Any, backend: int, latency_s: float, queue: float, service_s: float) -> None:
    world = world_of(backend + 1)
    world.report[:] = queue, service_s
    observe(world, memory, backend, 0.0, latency_s, False)


class TestGrpcWrr:
    @staticmethod
    def tell(memory: Any, backend: int, now_s: float, rate_s: float, utilisation: float, errors_s: float = 0.0) -> None:
        world = world_of(backend + 1)
        world.servers["rate_s"], world.servers["utilisation"] = rate_s, utilisation
        world.servers["error_rate_s"] = errors_s
        grpc_wrr.observe(world, memory, backend, now_s, 0.0, False)

    @staticmethod
    def picks(memory: Any, now_s: float, count: int, draw: float = 0.3) -> Counter[int]:
        pool = pool_view([0] * len(memory.period))
        world = world_of(len(memory.period))
        return Counter(grpc_wrr.pick(pool, world, memory, 0, 0, now_s, (draw,)) for _ in range(count))

    def test_the_weight_is_the_rate_by_utilisation_and_errors(self) -> None:
        memory = memory_of("grpc_wrr", [1.0], blackout_s=0.0)
        self.tell(memory, 0, 0.0, 100.0, 0.5, 10.0)
        assert grpc_wrr.weight_of(memory, 0, 0.0) == pytest.approx(100 / 0.6)
        self.tell(memory, 0, 0.0, 100.0, 0.0)
        assert grpc_wrr.weight_of(memory, 0, 0.0) == pytest.approx(100 / 0.6)

    def test_reports_count_after_the_blackout_and_until_they_expire(self) -> None:
        memory = memory_of("grpc_wrr", [1.0])
        assert grpc_wrr.weight_of(memory, 0, 0.0) == 0.0
        self.tell(memory, 0, 5.0, 100.0, 0.5)
        assert grpc_wrr.weight_of(memory, 0, 14.9) == 0.0
        assert grpc_wrr.weight_of(memory, 0, 15.0) == 200.0
        assert grpc_wrr.weight_of(memory, 0, 184.9) == 200.0
        assert grpc_wrr.weight_of(memory, 0, 185.0) == 0.0
        self.tell(memory, 0, 190.0, 100.0, 0.5)
        assert grpc_wrr.weight_of(memory, 0, 199.0) == 0.0
        assert grpc_wrr.weight_of(memory, 0, 200.0) == 200.0

    def test_a_backend_that_did_not_answer_did_not_report(self) -> None:
        memory = memory_of("grpc_wrr", [1.0], blackout_s=0.0)
        world = world_of(1)
        world.servers["rate_s"] = world.servers["utilisation"] = world.servers["crashed"] = 1
        grpc_wrr.observe(world, memory, 0, 0.0, 0.0, True)
        assert grpc_wrr.weight_of(memory, 0, 0.0) == 0.0

    def test_each_gets_its_share_and_those_without_a_weight_the_mean(self) -> None:
        memory = memory_of("grpc_wrr", [1.0] * 3, blackout_s=0.0)
        self.tell(memory, 0, 0.0, 10.0, 0.1)
        self.tell(memory, 1, 0.0, 30.0, 0.1)
        assert self.picks(memory, 0.0, 600) == {0: 100, 1: 300, 2: 200}

    def test_with_fewer_than_two_weights_all_are_equal(self) -> None:
        memory = memory_of("grpc_wrr", [1.0] * 3, blackout_s=0.0)
        self.tell(memory, 0, 0.0, 10.0, 0.1)
        assert self.picks(memory, 0.0, 300) == {0: 100, 1: 100, 2: 100}

    def test_weights_change_once_a_second(self) -> None:
        memory = memory_of("grpc_wrr", [1.0] * 2, blackout_s=0.0)
        assert self.picks(memory, 0.0, 2) == {0: 1, 1: 1}
        self.tell(memory, 0, 0.0, 10.0, 0.1)
        self.tell(memory, 1, 0.0, 30.0, 0.1)
        assert self.picks(memory, 0.9, 40) == {0: 20, 1: 20}
        assert self.picks(memory, 1.0, 40) == {0: 10, 1: 30}

    def test_where_a_schedule_begins_is_random(self) -> None:
        first = set()
        for draw in (0.1, 0.3, 0.5, 0.7, 0.9):
            first |= set(self.picks(memory_of("grpc_wrr", [1.0] * 3), 0.0, 1, draw))
        assert len(first) > 1

    def test_one_that_was_away_is_due_once(self) -> None:
        memory = memory_of("grpc_wrr", [1.0] * 2)
        world, away = world_of(2), pool_view([0, 0], barred={1})
        for _ in range(50):
            grpc_wrr.pick(away, world, memory, 0, 0, 0.0, (0.3,))
        assert self.picks(memory, 0.5, 10)[1] in (5, 6)


class TestAtw:
    @staticmethod
    def end(memory: Any, backend: int, requests: int, errors: int) -> None:
        for nth in range(requests):
            atw.observe(world_of(1), memory, backend, 0.0, 0.0, nth < errors)

    @staticmethod
    def window(memory: Any, now_s: float, size: int = 4) -> None:
        atw.pick(pool_view([0] * size), world_of(size), memory, 0, 0, now_s, (0.0,))

    def test_one_that_fails_more_than_the_others_is_halved_and_comes_back_by_steps(self) -> None:
        memory = memory_of("atw", [1.0] * 4)
        self.window(memory, 0.0)
        for nth in range(1, 9):
            for at in range(4):
                self.end(memory, at, 100, 30 if at == 2 else 1)
            self.window(memory, 5.0 * nth)
        assert list(memory.weight) == pytest.approx([1.0, 1.0, 0.01, 1.0])
        self.end(memory, 2, 100, 1)
        self.window(memory, 45.0)
        assert memory.weight[2] == pytest.approx(0.11)

    def test_all_failing_alike_is_no_anomaly(self) -> None:
        memory = memory_of("atw", [1.0] * 4)
        self.window(memory, 0.0)
        for at in range(4):
            self.end(memory, at, 100, 30 + at)
        self.window(memory, 5.0)
        assert set(memory.weight) == {1.0}

    def test_few_requests_are_counted_on(self) -> None:
        memory = memory_of("atw", [1.0] * 4)
        self.window(memory, 0.0)
        for at in (0, 1, 3):
            self.end(memory, at, 100, 0)
        self.end(memory, 2, 6, 6)
        self.window(memory, 5.0)
        assert memory.weight[2] == 1.0
        for at in (0, 1, 3):
            self.end(memory, at, 100, 0)
        self.end(memory, 2, 6, 6)
        self.window(memory, 10.0)
        assert memory.weight[2] == 0.5

    def test_it_draws_by_weight_from_three_on(self) -> None:
        memory = memory_of("atw", [1.0] * 3)
        memory.weight[0] = 0.5
        draws = [(draw,) for draw in (0.0, 0.19, 0.21, 0.59, 0.61, 0.99)]
        picked = [atw.pick(pool_view([0] * 3), world_of(3), memory, 0, 0, 0.0, draw) for draw in draws]
        assert picked == [0, 0, 1, 1, 2, 2]
        two = pool_view([0] * 3, barred={2})
        assert [atw.pick(two, world_of(3), memory, 0, 0, 0.0, draw) for draw in ((0.4,), (0.6,))] == [0, 1]

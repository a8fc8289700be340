import sys
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from simulator.demo.backend import Backend, Job, Station
from simulator.demo.fleet import AFFINITY, FLEET, ServerSpec, highest_load, running


class Timers:
    """`loop.call_later` on a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    def call_later(self, delay: float, callback: Callable[..., None], *args: Any) -> None:
        self._due.append((self.now + delay, len(self._due), callback, args))

    def run(self) -> None:
        while self._due:
            self._due.sort(key=lambda entry: entry[:2])
            self.now, _, callback, args = self._due.pop(0)
            callback(*args)


def test_a_station_serves_as_many_at_once_as_it_has_cores_and_in_order() -> None:
    timers = Timers()
    station = Station(2, timers.call_later)
    ends: list[tuple[str, float]] = []
    for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 1.0), ("d", 0.5)):
        station.add(Job(seconds, lambda name=name: ends.append((name, timers.now))))  # type: ignore[misc]
    timers.run()
    assert ends == [("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 2.5)]


def test_a_slow_station_takes_longer_for_what_starts_from_then_on() -> None:
    timers = Timers()
    station = Station(1, timers.call_later)
    ends: list[float] = []
    station.add(Job(1.0, lambda: ends.append(timers.now)))
    station.slow = 4.0
    station.add(Job(1.0, lambda: ends.append(timers.now)))
    timers.run()
    assert ends == [1.0, 5.0]


def test_a_job_that_nobody_waits_for_takes_no_core() -> None:
    timers = Timers()
    station = Station(1, timers.call_later)
    ends: list[float] = []
    jobs = [Job(1.0, lambda: ends.append(timers.now)) for _ in range(3)]
    for job in jobs:
        station.add(job)
    jobs[1].abandoned = True
    timers.run()
    assert ends == [1.0, 2.0]


@pytest.mark.parametrize(("request_class", "seconds"), [("page", 0.05), ("analytics", 0.0125), ("", 0.05)])
def test_time_is_work_by_the_speed_for_the_class(request_class: str, seconds: float) -> None:
    timers = Timers()
    backend = Backend("b", Station(1, timers.call_later), 2.0, {"analytics": 8.0}, lambda: 0.5)
    answers: list[tuple[int, float]] = []
    headers = {"x-class": request_class, "x-work-ms": "100"}
    backend.handle("/", headers, b"", lambda status: answers.append((status, timers.now)))
    timers.run()
    [(status, at_s)] = answers
    assert status == 200
    assert at_s == pytest.approx(seconds)


def test_faults_are_set_and_taken_back() -> None:
    timers = Timers()
    draws = iter([0.4, 0.6, 0.4])
    backend = Backend("b", Station(1, timers.call_later), 1.0, {}, lambda: next(draws))
    answers: list[tuple[str, int, float]] = []

    def ask(path: str, body: bytes = b"") -> None:
        start = timers.now
        headers = {"x-work-ms": "1000"}
        backend.handle(path, headers, body, lambda status: answers.append((path, status, timers.now - start)))
        timers.run()

    ask("/fault", b'{"slow": 3, "fail": 0.5}')
    ask("/work")
    ask("/work")
    ask("/health")
    ask("/fault", b"{}")
    ask("/work")
    ask("/fault", b'{"slow": "much"}')
    ask("/fault", b"[]")
    assert answers == [
        ("/fault", 200, 0.0),
        ("/work", 500, 0.0),
        ("/work", 200, 3.0),
        ("/health", 200, 0.0),
        ("/fault", 200, 0.0),
        ("/work", 200, 1.0),
        ("/fault", 400, 0.0),
        ("/fault", 400, 0.0),
    ]


async def test_a_fleet_of_processes_answers_with_its_names() -> None:
    specs = (ServerSpec("x", 1, 1.0), ServerSpec("y", 2, 1.0, specialised=True))
    async with (
        running(specs, "heavy", 1, 30.0, sys.stderr.buffer) as servers,
        aiohttp.ClientSession() as client,
    ):
        assert [server.spec for server in servers.values()] == list(specs)
        for name, server in servers.items():
            url = f"http://127.0.0.1:{server.port}/"
            async with client.get(url, headers={"x-work-ms": "1", "x-class": "heavy"}) as response:
                assert (response.status, response.headers["x-backend"]) == (200, name)
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(url)


def _best_by_hand(ordinary: float, affine: float) -> float:
    """The largest load for which some split of the affine work over the fleet fits, by trying splits."""
    special = sum(server.capacity for server in FLEET if server.specialised)
    others = sum(server.capacity for server in FLEET if not server.specialised)
    best = 0.0
    for step in range(1001):
        there = step / 1000  # of the affine work, the part on specialised servers
        # Ordinary work fills what is left; both bounds must hold.
        total = (special + others) / (ordinary + affine * (1 - there) + affine * there / AFFINITY)
        if affine * there:
            total = min(total, special * AFFINITY / (affine * there))
        if affine * (1 - there):
            total = min(total, others / (affine * (1 - there)))
        best = max(best, total)
    return best


@pytest.mark.parametrize("affine", [0.0, 0.2, 0.4, 0.8, 1.0])
def test_highest_load_is_that_of_the_best_split(affine: float) -> None:
    assert highest_load(FLEET, 1 - affine, affine) == pytest.approx(_best_by_hand(1 - affine, affine), rel=2e-3)

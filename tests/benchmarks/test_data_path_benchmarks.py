"""The benchmarks of parts of the data path measure what they say."""

import pytest

from benchmarks.overload import AllFull, OneLimited
from benchmarks.rig.bare_worker import BareWorker
from benchmarks.rig.cases import Rows, counted, paired, timed
from benchmarks.rig.processes import BenchmarkError
from benchmarks.routing import cases as routing_cases
from benchmarks.stages import STAGE_US, goals
from smartlb.stages.context import Context
from smartlb.stages.plan import RoutePlan
from smartlb.stages.stage import Stage


def test_a_backend_is_full_or_not_as_the_case_says() -> None:
    limited = OneLimited(3)
    for full in (True, False, True, True):
        limited.serve(full, 20)
        assert limited.bare.in_flight == [int(full), 0, 0]


def test_where_all_are_full_some_wait_all_the_time() -> None:
    crowded = AllFull(3)
    for requests in (1, 40):
        crowded.serve(requests)
        assert crowded.bare.in_flight == [1, 1, 1]
        assert len(crowded.bare.worker.pools["pool"].waiting) == 10


def test_stages_of_a_bare_worker_see_every_request() -> None:
    seen: list[bytes] = []

    class Notes(Stage):
        def request(self, context: Context) -> None:
            seen.append(context.target)

    bare = BareWorker({"backends": ["127.0.0.1:10000"]})
    plans = bare.worker.front.plans
    plans[0] = RoutePlan(plans[0].pool, [Notes()])
    bare.serve(3)
    assert seen == [b"/small"] * 3


def test_what_the_router_answers_itself_is_no_measurement() -> None:
    bare = BareWorker({"backends": ["127.0.0.1:10000"], "queue": {"max_waiting": 0}})
    bare.allow([])
    with pytest.raises(BenchmarkError, match="503"):
        bare.serve(1)


def test_routes_are_found_in_all_cases() -> None:
    found = routing_cases()  # which looks at what is found
    assert len(found) == 9
    for case in found.values():
        case(3)


def rows(**cases: tuple[list[float], list[int]]) -> Rows:
    return [
        {"case": name, "rounds_us": times, "passes_instructions": counts} for name, (times, counts) in cases.items()
    ]


def test_cases_are_compared_round_by_round() -> None:
    found = rows(a=([2.0, 20.0, 3.0], [30, 33, 90]), b=([1.0, 10.0, 1.0], [20, 22, 10]), c=([1.0, 1.0, 1.0], []))
    assert paired(found, "a", "b", lambda one, other: one / other) == 2.0
    assert paired(found, "a", "b", lambda one, other: one - other) == 2.0
    assert counted(found, "a", "b", lambda one, other: one / other) == 1.5
    assert counted(found, "a", "c", lambda one, other: one / other) is None


def test_a_stage_costs_what_it_adds() -> None:
    names = [
        "no stage",
        *(f"{many} at {what}" for what in ("requests", "responses") for many in ("1 that looks", "5 that look")),
    ]
    times = ([3.0], [3.25], [4.0], [3.5], [4.75])
    found = goals([{"case": name, "rounds_us": each} for name, each in zip(names, times, strict=True)])
    assert [(goal.value, goal.bound.value) for goal in found] == [(each, STAGE_US) for each in (0.25, 0.2, 0.5, 0.35)]


def test_rounds_of_cases_are_interleaved_and_counted_in_calls() -> None:
    calls: list[tuple[str, int]] = []
    found = timed({name: lambda count, name=name: calls.append((name, count)) for name in "ab"}, 2, 7)  # type: ignore[misc]
    assert calls == [("a", 1), ("a", 7), ("b", 1), ("b", 7)] * 2
    assert all(len(each) == 2 and min(each) > 0 for each in found.values())

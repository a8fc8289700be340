"""A short soak: what is counted must be back where it was. Memory and times are for the long one."""

import pytest

from benchmarks.rig.memory import Sample
from benchmarks.rig.site import site
from benchmarks.rig.traffic import OK
from benchmarks.soak import held, run, table

_SECONDS = 15.0
_FEW_FILES = 12
"""Each worker may keep some idle connections to backends."""


async def test_nothing_is_left_when_the_load_is_gone() -> None:
    with site(120, backends=2) as on:
        done = await run(on, _SECONDS, seed=1, rate_per_s=80.0, reload_every_s=6.0)
    assert (done.connections, done.in_flight, done.draining) == (0, 0, 0)
    assert done.reloads > 0
    assert done.results[OK] > 100
    by_role = {each.role: each for each in done.held}
    assert {role: each.processes for role, each in by_role.items()} == {"supervisor": 1, "learner": 1, "worker": 2}
    for role in ("supervisor", "learner"):
        assert by_role[role].files_end <= by_role[role].files_start + _FEW_FILES
    idle = 2 * 2 * 2 * 64  # workers, pools, backends, connections that may be kept
    assert by_role["worker"].files_end <= by_role["worker"].files_start + idle


def test_the_slope_is_that_of_the_second_half() -> None:
    before, after = [Sample(0.0, "worker", 1, 50.0, 9)], [Sample(3_700.0, "worker", 1, 80.0, 9)]
    memory = [50.0, 60.0, 70.0, 80.0, 80.0, 80.0, 80.0, 80.0]
    samples = [Sample(at * 400.0, "worker", 1, mb, 9) for at, mb in enumerate(memory)]
    (worker,) = held(before, samples, after)
    assert worker.slope_mb_per_hour == pytest.approx(0.0)
    assert worker.flat
    assert "flat" in table([worker], 3_600.0)[-1]
    assert "too short" in table([worker], 60.0)[-1]
    growing = [Sample(at * 400.0, "worker", 1, 50.0 + at * 10, 9) for at in range(8)]
    (worker,) = held(before, growing, after)
    assert worker.slope_mb_per_hour == pytest.approx(90.0)
    assert not worker.flat

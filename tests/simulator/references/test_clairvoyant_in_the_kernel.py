"""What clairvoyant expects is what happens, if nobody comes after."""

import numpy as np
import pytest

from simulator.kernel import loop
from simulator.kernel.calling import prepare
from simulator.kernel.router import Routing
from simulator.kernel.state import Array, Server, State, make_state
from simulator.references.clairvoyant import Options, cost_s, remember
from simulator.workload.request import REQUEST
from smartlb.core.view import PoolView
from smartlb.policies.registry import POLICIES
from tests.policies.pools import members, pool_view
from tests.simulator.kernel_calls import as_arrays
from tests.simulator.references.worlds import interpreted

COUNT = 12
SPEED = 1.5


def run(server: Server, requests: Array, until_s: float) -> State:
    """All requests at one backend."""
    policy = POLICIES["round_robin"]
    calls = prepare(policy, policy.options(), members([1.0]), 1)
    pool: PoolView = as_arrays(pool_view([0]))
    routing = Routing(pool=pool, **{name: getattr(calls, name) for name in Routing._fields if name != "pool"})
    state = make_state([server], routers=1, shared=True, timeout_s=1e6, by_url=False, tracked=True, drawn=calls.drawn)
    assert loop.run_until(until_s, requests, False, routing, np.random.default_rng(0), state) == loop.REACHED
    return state


def latencies_s(state: State, count: int) -> Array:
    """In the order of arrival."""
    log = np.sort(state.log[:count], order="request")
    return log["total_s"].astype(np.float64)


@pytest.mark.parametrize(
    ("slots", "cores", "growth"),
    [
        pytest.param(3, 3.0, 0.0, id="first come first served"),
        pytest.param(50, 2.0, 0.0, id="shared cores"),
        pytest.param(50, 50.0, 0.1, id="growing batch"),
    ],
)
def test_the_last_request_ends_and_delays_others_as_expected(slots: int, cores: float, growth: float) -> None:
    server = Server(slots, cores, growth, 1000, 0.01, (SPEED,))
    for seed in range(10):
        random = np.random.default_rng(seed)
        requests = np.zeros(COUNT, REQUEST)
        requests["at_s"] = np.sort(random.random(COUNT)) * 2.0
        requests["work_s"] = requests["first_s"] = random.exponential(1.0, COUNT)
        requests["fail_draw"] = requests["tail_draw"] = 0.5
        last_s = requests["at_s"][-1]

        world = interpreted(run(server, requests, last_s).world)
        world.work_s[0] = requests["work_s"][-1]
        memory = remember(members([1.0]), Options(later=0.0))
        memory.speed[0], memory.work[0], memory.work[1] = SPEED, 1.0, 1.0
        expected_s = cost_s(world, memory, 0, 0, last_s)

        after = latencies_s(run(server, requests, np.inf), COUNT)
        before = latencies_s(run(server, requests[:-1], np.inf), COUNT - 1)
        # The delay that growth causes is not counted.
        delay_s = 0.0 if growth else (after[:-1] - before).sum()
        assert expected_s == pytest.approx(after[-1] + delay_s, abs=1e-5)

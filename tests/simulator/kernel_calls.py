"""A policy or reference as the simulator's kernel asks and tells it, from Python."""

from array import array
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np

from simulator.kernel import router
from simulator.kernel.calling import prepare
from simulator.kernel.python_policy import VIEW_TYPES
from simulator.kernel.state import Server, World, make_state
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy


def as_arrays(pool: PoolView) -> PoolView:
    """A pool as the kernel has it."""
    parts: dict[str, Any] = {name: np.array(getattr(pool, name), kind) for name, kind in VIEW_TYPES.items()}
    return PoolView(**parts | {"sight": pool.sight})


@numba.njit
def _choose(state: Any, view: Any, now_s: Any, draws: Any, routing: Any) -> Any:
    return router.choose(state, state.jobs[0], view, now_s, draws, routing)


@numba.njit
def _tell(state: Any, now_s: Any, latency_s: Any, failed: Any, routing: Any) -> None:
    router.tell(state, state.jobs[0], now_s, latency_s, failed, routing)


class InKernel:
    """With the memory of one router, the second of two."""

    def __init__(self, policy: Policy | Reference, options: Any, members: Members) -> None:
        self._like = policy.remember(members, options)
        self._routing = prepare(policy, options, members, 2)
        server = Server(slots=1, cores=1.0, growth=0.0, room=1, round_trip_s=0.0, speed=(1.0,))
        count = len(members.names)
        self._state = make_state([server] * count, 2, False, 1.0, False, False, self._routing.drawn, attempts=1)
        self._state.jobs["router"] = 1

    def pick(
        self, pool: PoolView, of: int, key: int, now_s: float, draws: Sequence[float], world: World | None = None
    ) -> int:
        """The position that it picks; `world` is for references."""
        job = self._state.jobs[0]
        job["request_class"], job["key"] = of, key
        if world is not None:
            job["work_s"] = world.work_s[0]
            self._state = self._state._replace(world=world)
        return int(_choose(self._state, as_arrays(pool), now_s, np.array(draws, np.float64), self._routing))

    def observe(self, backend: int, now_s: float, latency_s: float, failed: bool, world: World | None = None) -> None:
        """Tell it of an answer."""
        job = self._state.jobs[0]
        job["backend"] = backend
        if world is not None:
            job["reported_queue"], job["reported_s"] = world.report
            self._state = self._state._replace(world=world)
        _tell(self._state, now_s, latency_s, failed, self._routing)

    def memory(self) -> list[Any]:
        """Every part of the memory, as lists and numbers."""
        row, layout = self._routing.memory[1], self._routing.layout
        parts = []
        for at, like in enumerate(self._like):
            many = isinstance(like, array)
            kind = like.typecode if many else np.array([like]).dtype
            part = row[layout[2 * at] : layout[2 * at + 1]].view(kind).tolist()
            parts.append(part if many else part[0])
        return parts


def listed(memory: Any) -> list[Any]:
    """The same of a memory in Python."""
    return [part.tolist() if isinstance(part, array | np.ndarray) else part for part in memory]

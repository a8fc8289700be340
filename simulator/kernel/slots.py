"""Slots of requests under way, used again and again."""

from simulator.kernel.compiling import compiled
from simulator.kernel.state import State


@compiled
def free(state: State, slot: int) -> None:
    """Nothing refers to a slot any more."""
    clock = state.clock[0]
    state.free[clock.free] = slot
    clock.free += 1

"""When each backend's next event is, and which comes first: a tournament, replayed along one path at each change."""

from math import inf

from simulator.kernel.compiling import compiled
from simulator.kernel.state import NOBODY, State


@compiled
def schedule(state: State, backend: int) -> None:
    """Find a backend's next event again, after something about it changed."""
    server = state.world.servers[backend]
    at_s = inf
    if server.serving > 0 and server.rate > 0.0:
        left_v = max(state.world.heap_v[server.heap] - server.virtual_s, 0.0)
        at_s = server.since_s + (left_v if server.rate == 1.0 else left_v / server.rate)
    if server.first_back != NOBODY:
        at_s = min(at_s, state.jobs[server.first_back].back_s)
    next_s, winner = state.next_s, state.winner
    next_s[backend] = at_s
    leaves = len(next_s)
    node = (leaves + backend) >> 1
    while node >= 1:
        left, right = winner[2 * node], winner[2 * node + 1]
        first = left if next_s[left] <= next_s[right] else right
        if first != backend and winner[node] == first:
            return  # it lost this match before and does so again: all further ones are as they were
        winner[node] = first
        node >>= 1

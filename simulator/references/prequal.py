"""prequal: asks few backends how busy and how slow they are, ahead of the requests that use the answers.

Wydrowski, Kleinberg, Rumble, Archer: Load is not what you should balance: Introducing Prequal, NSDI 2024. With every
request `probes` backends are probed, distinct and uniformly random. An answer holds the requests in flight at the
backend (served and waiting) and an estimate of its latency with that many (`prequal_estimate`). The pool keeps the
newest answer of each backend, `pool` at most, not older than `age_s`. An answer is hot if its requests in flight exceed
the `q_rif` quantile of those of the latest `history` answers. The cold answer with the least latency is used, or if all
are hot, the one with the fewest requests in flight; from then on it counts one more. With fewer than two usable answers
the backend is random. After each request `removes` answers go, by turns the oldest and the worst, and each answer is
used

    max(1, (1 + delta) / ((1 - pool / n) × probes - removes))

times at most, rounded randomly, with n backends.

Read in public implementations and notes that quote the paper, not in the paper itself. They agree on the numbers and on
this form of the reuse, but for prequal-rs/prequal (crates/prequal-core), which has 1 + delta / (...). Where the
denominator is not positive, as with no more backends than `pool`, the paper is said to set no limit; prequal-rs has 16,
and so has this. Likewise from prequal-rs: the `history` of 64, the quantile as the value at the rounded-down
place, ages from when the answer came, ties by the other measure. `q_rif` is the paper's 2^(-1/4); prequal-rs has 0.6,
because at 0.84 routers herded.

An answer comes a round trip after it was asked for, with what the backend knew when the probe was sent, so it is stale
rather than prescient. Backends that have crashed, hang or are paused do not answer: the paper's probes time out after
milliseconds. Left out: fractional rates of
probes, probes sent in idle times, and the paper's guard against backends that fail fast, which draw traffic here.
At most 4096 probes are under way; more are lost.
"""

from array import array
from collections.abc import Sequence
from typing import Final

from pydantic import Field

from simulator.kernel.state import World
from simulator.references.prequal_estimate import AT_ONCE, KEPT, LEVELS, estimate_s, observe
from simulator.references.prequal_pool import Memory, best, prune, receive, send, usable, use
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, PolicyOptions

_UNDER_WAY: Final = 4096
_MOST_USES: Final = 16.0
_FEWEST_ANSWERS: Final = 2


class Options(PolicyOptions):
    """Options of prequal."""

    probes: int = Field(default=3, ge=1, le=16, description="How many backends are probed with every request.")
    pool: int = Field(default=16, ge=2, le=256, description="How many answers are kept.")
    age_s: float = Field(default=1.0, gt=0, le=60, description="How old an answer may become.")
    q_rif: float = Field(
        default=0.84,
        ge=0,
        le=1,
        description="Quantile of the requests in flight of recent answers; above it an answer is hot.",
    )
    history: int = Field(default=64, ge=1, le=1024, description="Of how many recent answers the quantile is.")
    removes: int = Field(default=1, ge=0, le=16, description="How many answers are removed with every request.")
    delta: float = Field(default=1.0, ge=0, le=16, description="How fast answers are to pile up, for their reuse.")


def remember(members: Members, options: Options) -> Memory:
    """No answers."""
    backends = len(members.names)
    return Memory(
        size=_whole(1),
        backend=_whole(options.pool),
        since_s=_real(options.pool),
        rif=_whole(options.pool),
        latency_s=_real(options.pool),
        uses=_whole(options.pool),
        way=_whole(2),
        way_backend=_whole(_UNDER_WAY),
        way_until_s=_real(_UNDER_WAY),
        way_rif=_whole(_UNDER_WAY),
        way_latency_s=_real(_UNDER_WAY),
        way_uses=_whole(_UNDER_WAY),
        seen=_whole(2),
        recent=_whole(options.history),
        ordered=_whole(options.history),
        chosen=_whole(options.probes),
        oldest_next=array("q", [1]),
        noticed=_whole(backends),
        kept=_whole(backends * LEVELS),
        kept_s=_real(backends * LEVELS * KEPT),
        kept_at_s=_real(backends * LEVELS * KEPT),
        near_s=_real(AT_ONCE),
        age_s=options.age_s,
        q_rif=options.q_rif,
        removes=options.removes,
        budget=reuse(options, backends),
    )


def _whole(size: int) -> "array[int]":
    return array("q", bytes(8 * size))


def _real(size: int) -> "array[float]":
    return array("d", bytes(8 * size))


def reuse(options: Options, backends: int) -> float:
    """For how many requests an answer may be used, on average."""
    gained = (1.0 - options.pool / backends) * options.probes - options.removes
    if gained <= 0.0:
        return _MOST_USES
    return max(1.0, min((1.0 + options.delta) / gained, _MOST_USES))


def pick(
    pool: PoolView, world: World, memory: Memory, _request_class: int, _key: int, now_s: float, draws: Sequence[float]
) -> int:
    """By the answers that have come; probes are sent for the requests that follow."""
    receive(memory, now_s)
    eligible = pool.eligible
    if usable(memory, pool) < _FEWEST_ANSWERS:
        picked = eligible[int(draws[0] * len(eligible))]
    else:
        picked = use(memory, best(memory, pool))
    prune(memory)
    _probe(pool, world, memory, now_s, draws)
    return picked


def _probe(pool: PoolView, world: World, memory: Memory, now_s: float, draws: Sequence[float]) -> None:
    """Probe distinct backends; Floyd's way to draw them."""
    count = len(pool.eligible)
    wanted = min(len(memory.chosen), count)
    for nth in range(wanted):
        last = count - wanted + nth
        place = int(draws[1 + 2 * nth] * (last + 1))
        for before in range(nth):
            if memory.chosen[before] == place:
                place = last
                break
        memory.chosen[nth] = place
        backend = pool.eligible[place]
        server = world.servers[backend]
        if server.crashed == 0 and server.hanging == 0 and server.speed > 0.0:
            rif = server.serving + server.waiting
            whole = int(memory.budget)
            uses = whole + 1 if draws[2 + 2 * nth] < memory.budget - whole else whole
            send(
                memory, backend, now_s + server.round_trip_s, rif, estimate_s(world, memory, backend, rif, now_s), uses
            )


REFERENCE = Reference(
    name="prequal",
    pick=pick,
    options=Options,
    remember=remember,
    draws=lambda options: 1 + 2 * options.probes,
    observe=observe,
)

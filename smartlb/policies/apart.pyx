"""How a router picks that sees only a small share of what is in flight, as many others send requests as well.

All such routers know the same costs. If each chose the cheapest, all would at the same time, and what one counts itself
says little. So requests are divided by the learned weights, which move slowly, and three things of the router's own
correct that: what it has in flight, how slow the latest answers were against what the model expects, and failures. A
backend is the dearer the more of these there are, by its weight: `(in flight + failures + slowness) / weight`.

Ties, of which there are many at small counts, are broken by an order that differs between routers and goes round. A
router thus returns to the same few backends for a while, and what it sees there says more than the same requests spread
over all. Over the routers the orders even out.
"""

from libc.math cimport INFINITY, fmod

from smartlb.policies.compiled cimport View
from smartlb.policies.experience cimport FEW, Memory, expect, lag

# Multiples of it, modulo 1, spread evenly for any number of backends.
cdef double GOLDEN = 0.6180339887498949

# After this time a router's order has gone round.
cdef double ROUND_S = 20.0

# As how many requests in flight it counts that the latest answers took twice as long as expected.
cdef double SLOWNESS = 2.0

cdef double LEAST_WEIGHT = 1e-9


cdef int pick_apart(const View *pool, Memory *memory, int request_class, double now_s, double start) noexcept nogil:
    """The backend with the least in flight and the least signs of trouble for its weight.

    Args:
        pool, memory: what is known.
        request_class: of the request.
        now_s: time.
        start: a random draw from 0 to 1.
    """
    cdef long long nth, row = request_class * pool.size
    cdef double before, slow, order, burden, cost, lowest = INFINITY
    cdef int at, best = pool.eligible[0]
    if memory.preference[0] < 0.0:
        memory.preference[0] = start
    cdef double preference = memory.preference[0] + now_s / ROUND_S
    for nth in range(pool.room):
        at = pool.eligible[nth]
        before = pool.draw[row + at - 1] if at > 0 else 0.0
        slow = lag(memory, at, now_s, FEW)
        order = fmod(preference + GOLDEN * at, 1.0)
        burden = pool.in_flight[at] + order * min(slow, 1.0) + SLOWNESS * max(slow - 1.0, 0.0)
        cost = burden / max(pool.draw[row + at] - before, LEAST_WEIGHT) * (1 + memory.failures[at])
        if cost < lowest:
            best, lowest = at, cost
    expect(memory, best, pool.base_s[row + best] + pool.slope_s[row + best])
    return best

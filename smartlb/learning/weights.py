"""From costs to weights: how each class is best split over a pool, reached in bounded steps.

A backend's share of a class follows from what a request of that class costs there, and from what else keeps that
backend busy. `split` solves this on the model alone: moving weights directly by live latencies is unstable near
saturation.
"""

import numpy as np

from smartlb.learning.cells import Matrix

EVENNESS = 8.0
"""The exponent of `split`'s objective: 1 would send everything to the cheapest backend, infinity would make all
equally busy. At 8 a backend of twice the cost gets 45 % of the share, and a class goes to a backend of four times
the cost once its cheap ones are 22 % busier."""

DEAREST = 16.0
"""Largest ratio that `opportunity` tells."""

RELIEF = (0.05, 4.0)
"""Bounds of the factor by which `relieve` changes a weight."""

LEAST_SHARE = 0.002
"""Least weight that `fill` gives."""

_ROUNDS = 40
_BISECTIONS = 48
_LEAST = 1e-6


def split(cost: Matrix, mix: Matrix, start: Matrix) -> Matrix:
    """Split classes over backends so that the busiest backends are least busy.

    Minimises ``sum(load ** EVENNESS)`` over the backends with ``load = sum over classes of mix * share * cost``,
    by multiplicative updates of exponent ``1 / EVENNESS``, which contract for a single class.

    Args:
        cost: ``[classes, backends]``; what a request costs, above zero; only ratios matter.
        mix: ``[classes]``; the classes' shares of the traffic, zero or more.
        start: ``[classes, backends]``; where to begin; rows sum to 1.

    Returns:
        Shares ``[classes, backends]``; rows sum to 1.
    """
    share = np.maximum(start, _LEAST)
    for _ in range(_ROUNDS):
        load = np.maximum((mix[:, None] * share * cost).sum(axis=0), 1e-12)
        load /= load.max()
        gradient = cost * np.maximum(load, 1e-9) ** (EVENNESS - 1.0)
        share *= (gradient / gradient.min(axis=1, keepdims=True)) ** (-1.0 / EVENNESS)
        share = np.maximum(share / share.sum(axis=1, keepdims=True), _LEAST)
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def opportunity(cost: Matrix, mix: Matrix, share: Matrix) -> Matrix:
    """What it costs to place a class at a backend beside what else that backend could do, relative to its best place.

    The ratio of the gradients of `split`'s objective. It is 1 wherever `split` sends a class, be the backend fast or
    slow, and above 1 where it does not, as that backend is better kept for other classes.

    Args:
        cost: ``[classes, backends]``; as for `split`.
        mix: ``[classes]``; likewise.
        share: ``[classes, backends]``; what `split` found.

    Returns:
        ``[classes, backends]``; from 1 to `DEAREST`.
    """
    load = np.maximum((mix[:, None] * share * cost).sum(axis=0), 1e-12)
    gradient = cost * np.maximum(load / load.max(), 1e-9) ** (EVENNESS - 1.0)
    return np.asarray(np.minimum(gradient / gradient.min(axis=1, keepdims=True), DEAREST))


def relieve(weight: Matrix, in_flight: Matrix, latency_s: Matrix, rates: Matrix, horizon_s: float) -> Matrix:
    """Weights that even out what has piled up at some backends, for routers that do not see it themselves.

    A backend gets fewer of the requests that come within the horizon by as many as it has in flight beyond what is
    usual for its weight (Little's law), and more where it has less. Cf. Dahlin, Interpreting Stale Load Information,
    1999; there all that comes is directed so.

    Args:
        weight: ``[classes, backends]``; rows sum to 1.
        in_flight: ``[backends]``; now, over all routers.
        latency_s: ``[classes, backends]``; what is usual.
        rates: ``[classes]``; requests/s.
        horizon_s: how soon.

    Returns:
        ``[classes, backends]``; rows sum to 1.
    """
    flow = rates[:, None] * weight
    usual = (flow * latency_s).sum(axis=0)
    excess = in_flight - usual * (in_flight.sum() / max(float(usual.sum()), 1e-12))
    factor = np.clip(1.0 - excess / np.maximum(flow.sum(axis=0) * horizon_s, 1e-9), *RELIEF)
    relieved = weight * factor
    return np.asarray(relieved / relieved.sum(axis=1, keepdims=True))


def fill(base_s: Matrix, slope_s: Matrix, in_flight: Matrix, coming: float) -> Matrix:
    """Weights that leave all backends that get any of the next requests at the same cost: water filling.

    For pools with few requests, in which what was in flight at the last snapshot still is, and `relieve` would chase
    single requests.

    Args:
        base_s: ``[classes, backends]``; cost at an idle backend.
        slope_s: ``[classes, backends]``; what each request in flight adds.
        in_flight: ``[backends]``; now, over all routers.
        coming: requests until the next look, above zero.

    Returns:
        ``[classes, backends]``; rows sum to 1, none is nothing.
    """
    slope_s = np.maximum(slope_s, 1e-12)
    cost_s = base_s + slope_s * in_flight
    order = np.argsort(cost_s, axis=1)
    cost_up, room = (np.take_along_axis(each, order, axis=1) for each in (cost_s, 1.0 / slope_s))
    # The level if only the cheapest one, two, ... are filled; it is right once the next one costs more.
    level = (coming + (room * cost_up).cumsum(axis=1)) / room.cumsum(axis=1)
    above = np.concatenate([cost_up[:, 1:], np.full((len(cost_up), 1), np.inf)], axis=1)
    right = np.take_along_axis(level, (level <= above).argmax(axis=1)[:, None], axis=1)
    share = np.maximum(right - cost_s, 0.0) / slope_s
    share = np.maximum(share / share.sum(axis=1, keepdims=True), LEAST_SHARE)
    return np.asarray(share / share.sum(axis=1, keepdims=True))


def step(weight: Matrix, target: Matrix, floor: float, factor: float) -> Matrix:
    """The weights nearest `target` in ratio, within a step and above the floor.

    Args:
        weight: ``[classes, backends]``; rows sum to 1, all at least `floor`.
        target: ``[classes, backends]``; above zero.
        floor: least weight; at most one backend's fair share.
        factor: no weight changes by more than this, up or down; infinity lifts the bound.

    Returns:
        ``[classes, backends]``; rows sum to 1.
    """
    low = np.maximum(weight / factor, floor)
    high = np.maximum(np.minimum(weight * factor, 1.0), low)
    # One scale a row makes the bounded weights sum to 1: their sum grows with it, and `weight` itself is in bounds.
    under = np.log(_LEAST * low / target).min(axis=1, keepdims=True)
    over = np.log(high / (_LEAST * target)).max(axis=1, keepdims=True)
    for _ in range(_BISECTIONS):
        middle = (under + over) / 2.0
        enough = np.clip(target * np.exp(middle), low, high).sum(axis=1, keepdims=True) >= 1.0
        over = np.where(enough, middle, over)
        under = np.where(enough, under, middle)
    bounded = np.clip(target * np.exp(over), low, high)
    return np.asarray(bounded / bounded.sum(axis=1, keepdims=True))

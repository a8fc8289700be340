"""The numbers under which shared memory and telemetry know a configuration's names."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from smartlb.config.model import Backend, Config
from smartlb.core.record import NO_BACKEND, NO_ROUTE, Records
from smartlb.limits.shared_buckets import bytes_for

DEFAULT_CLASS = "default"
"""Request class 0: requests that belong to no configured class."""


@dataclass(frozen=True, slots=True)
class Member:
    """One backend of one pool.

    Attributes:
        index: over all pools, as in telemetry records.
        pool: the pool's name.
        position: within the pool, as policies know it.
        settings: from the configuration, or as discovery found it; `VACANT` where there is none now.
        tenancy: counts the backends that have had this position one after the other; 0 before the first.
        leaving: whether discovery finds it no more: it gets no requests, and its position is free soon.
    """

    index: int
    pool: str
    position: int
    settings: Backend
    tenancy: int = 1
    leaving: bool = False

    @property
    def vacant(self) -> bool:
        """Whether the position has no backend."""
        return self.settings is VACANT

    @property
    def present(self) -> bool:
        """Whether there is a backend that may get requests, as far as discovery goes."""
        return self.settings is not VACANT and not self.leaving


VACANT = Backend.model_construct(name="", address="", weight=1.0, max_in_flight=None)
"""In place of the backend of a position that has none; its label is empty."""


class Numbering:
    """Backends, request classes and routes of `config`, in its order.

    Attributes:
        backends: every backend of every pool; a pool's are adjacent. Those of positions for discovery are replaced by
            `seat`.
        pools: for each pool the range of its backends' indices.
        classes: names; class 0 is `DEFAULT_CLASS`.
        routes: names; after those of the configuration come the tcp and udp listeners, each a route of its own.
        route_pools: the pool of each route; empty for a listener that chooses among several.
        listeners: for each listener the number of its route; `NO_ROUTE` for http.
        rate_limits: for each route with a rate limit where its table of buckets lies among those of all, in bytes.
        rate_limit_bytes: of all those tables.
    """

    def __init__(self, config: Config) -> None:
        self.backends: list[Member] = []
        self.pools: dict[str, range] = {}
        for name, pool in config.pools.items():
            first = len(self.backends)
            self.backends += [
                Member(first + position, name, position, backend) for position, backend in enumerate(pool.backends)
            ]
            self.backends += [
                Member(first + position, name, position, VACANT, tenancy=0)
                for position in range(len(pool.backends), pool.size)
            ]
            self.pools[name] = range(first, len(self.backends))
        self.classes = [DEFAULT_CLASS, *(entry.name for entry in config.request_classes)]
        self.routes = [route.name for route in config.routes]
        self.route_pools = [route.pool or "" for route in config.routes]
        self.listeners: list[int] = []
        for listener in config.listeners:
            if listener.protocol == "http":
                self.listeners.append(NO_ROUTE)
                continue
            self.listeners.append(len(self.routes))
            self.routes.append(listener.label)
            self.route_pools.append(listener.pools[0] if len(set(listener.pools)) == 1 else "")

        self.rate_limits: dict[int, slice] = {}
        self.rate_limit_bytes = 0
        for number, route in enumerate(config.routes):
            if route.rate_limit is not None:
                first = self.rate_limit_bytes
                self.rate_limit_bytes += bytes_for(route.rate_limit.max_clients)
                self.rate_limits[number] = slice(first, self.rate_limit_bytes)

    def seat(self, members: Iterable[Member]) -> list[Member]:
        """Put backends that discovery found in their positions; returns those that were not there just so before."""
        changed = [member for member in members if self.backends[member.index] != member]
        for member in changed:
            self.backends[member.index] = member
        return changed

    def present(self, pool: str) -> list[Member]:
        """The backends that a pool has now."""
        return [self.backends[index] for index in self.pools[pool] if self.backends[index].present]


GONE = -1
"""The new number of what is not in the new configuration."""


class Renumbering:
    """Where one configuration's backends, classes and routes are in another: those with the same names.

    Args:
        old: of the one.
        new: of the other.

    Attributes:
        backends: int64 ``[old backends]``; the new index of the backend of the same pool and name, or `GONE`.
        classes: likewise.
        routes: likewise.
        servers: ``(old, new)`` index of every backend that also has the same address.
    """

    def __init__(self, old: Numbering, new: Numbering) -> None:
        self.backends = _positions([_key(member) for member in old.backends], [_key(member) for member in new.backends])
        self.classes = _positions(old.classes, new.classes)
        self.routes = _positions(old.routes, new.routes)
        self.servers = [
            (index, place)
            for index, place in enumerate(self.backends.tolist())
            if place != GONE and old.backends[index].settings.address == new.backends[place].settings.address
        ]

    def records(self, records: Records) -> Records:
        """Telemetry with the new numbers; what was at a backend that is gone is left out.

        A class that is gone becomes the default one, a route that is gone becomes none.
        """
        backend = self._backend_of(records)
        kept = backend != GONE
        records = records[kept]
        records["backend"] = backend[kept]
        route = np.append(self.routes, GONE)[np.minimum(records["route"], len(self.routes))]
        records["route"] = np.where(route == GONE, NO_ROUTE, route)
        request_class = np.append(self.classes, GONE)[np.minimum(records["request_class"], len(self.classes))]
        records["request_class"] = np.maximum(request_class, 0)
        return records

    def left_out(self, records: Records) -> Records:
        """Those of what was at a backend that is gone, with the old numbers."""
        gone: Records = records[self._backend_of(records) == GONE]
        return gone

    def _backend_of(self, records: Records) -> Any:
        # The numbers of what there is none of lie beyond all others, and stay.
        return np.append(self.backends, NO_BACKEND)[np.minimum(records["backend"], len(self.backends))]


def _key(member: Member) -> tuple[str, str] | None:
    return None if member.vacant else (member.pool, member.settings.label)


def _positions(old: Sequence[object], new: Sequence[object]) -> npt.NDArray[np.int64]:
    at = {name: index for index, name in enumerate(new) if name is not None}
    return np.array([at.get(name, GONE) for name in old], dtype=np.int64)

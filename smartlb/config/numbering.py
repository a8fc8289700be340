"""The numbers under which shared memory and telemetry know a configuration's names."""

from dataclasses import dataclass

from smartlb.config.model import Backend, Config
from smartlb.core.telemetry import NO_ROUTE

DEFAULT_CLASS = "default"
"""Request class 0: requests that belong to no configured class."""


@dataclass(frozen=True, slots=True)
class Member:
    """One backend of one pool.

    Attributes:
        index: over all pools, as in telemetry records.
        pool: the pool's name.
        position: within the pool, as policies know it.
        settings: from the configuration.
    """

    index: int
    pool: str
    position: int
    settings: Backend


class Numbering:
    """Backends, request classes and routes of `config`, in its order.

    Attributes:
        backends: every backend of every pool; a pool's are adjacent.
        pools: for each pool the range of its backends' indices.
        classes: names; class 0 is `DEFAULT_CLASS`.
        routes: names; after those of the configuration come the tcp and udp listeners, each a route of its own.
        route_pools: the pool of each route; empty for a listener that chooses among several.
        listeners: for each listener the number of its route; `NO_ROUTE` for http.
    """

    def __init__(self, config: Config) -> None:
        self.backends: list[Member] = []
        self.pools: dict[str, range] = {}
        for name, pool in config.pools.items():
            first = len(self.backends)
            self.backends += [
                Member(first + position, name, position, backend) for position, backend in enumerate(pool.backends)
            ]
            self.pools[name] = range(first, len(self.backends))
        self.classes = [DEFAULT_CLASS, *(entry.name for entry in config.request_classes)]
        self.routes = [route.name for route in config.routes]
        self.route_pools = [route.pool for route in config.routes]
        self.listeners: list[int] = []
        for listener in config.listeners:
            if listener.protocol == "http":
                self.listeners.append(NO_ROUTE)
                continue
            self.listeners.append(len(self.routes))
            self.routes.append(listener.label)
            self.route_pools.append(listener.pools[0] if len(set(listener.pools)) == 1 else "")

"""The numbers under which shared memory and telemetry know a configuration's names."""

from dataclasses import dataclass

from smartlb.config.model import Backend, Config

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
        routes: names.
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

# cython: annotation_typing=False
"""Which route a request takes, and which request class it belongs to."""

from smartlb.config.model import Config, RouteMatch
from smartlb.core.record import NO_ROUTE
from smartlb.routing.classes import RequestClasses
from smartlb.routing.host import HostRoutes
from smartlb.routing.match import RouteTest
from smartlb.routing.path import canonical_path
from smartlb.wire.http1 import HeaderBlock

_NO_ROUTE: int = NO_ROUTE


class Routing:
    """The routes and request classes of a configuration; compiled with the types of ``routing.pxd``.

    However many routes there are, a request is compared only with those of its host and the beginning of its path.
    """

    def __init__(self, config: Config) -> None:
        count = len(config.routes)
        self._none = count
        self._routes = HostRoutes(count)
        self._by_path = False
        for number, route in enumerate(config.routes):
            test = RouteTest(number, route.match)
            self._by_path = self._by_path or bool(test.start) or route.match.path_regex is not None
            self._routes.add(route.match.host, test)
        self._catch_all = count > 0 and config.routes[0].match == RouteMatch()
        self._classes = (
            RequestClasses(config.request_classes, [route.name for route in config.routes])
            if config.request_classes
            else None
        )

    def route(self, method: bytes, target: bytes, block: HeaderBlock) -> int:
        """The number of the first route that matches; `NO_ROUTE` where none does.

        Raises:
            RequestRefused: see `canonical_path`, where routes go by paths.
        """
        if self._catch_all:
            return 0
        path = canonical_path(target) if self._by_path else b""
        number = self._routes.first(method, path, block)
        return number if number < self._none else _NO_ROUTE

    def request_class(self, method: bytes, block: HeaderBlock, route: int) -> int:
        """The number of the first class that matches; 0 where none does."""
        return 0 if self._classes is None else self._classes.first(method, block, route)

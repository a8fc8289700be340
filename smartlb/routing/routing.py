"""Which route a request takes, and which request class it belongs to."""

import re
from collections.abc import Sequence
from urllib.parse import unquote_to_bytes

from smartlb.config.model import ClassMatch, Config, RouteMatch
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_ROUTE
from smartlb.wire.http1 import HeaderBlock, RequestRefused

_UNCANONICAL = re.compile(rb"/\.|//|%")


def canonical_path(target: bytes) -> bytes:
    """The path of a target as routes see it: unescaped, without empty and ``.`` segments.

    Only matching uses it, so that no spelling of a path slips past a route; the target is forwarded as it came.

    Raises:
        RequestRefused: there is a ``..`` segment. A backend might take the path for what stands before it, where a
            route takes it for what is left; clients resolve such segments themselves (RFC 3986 section 5.2.4).
    """
    path = target.partition(b"?")[0]
    if not _UNCANONICAL.search(path):
        return path
    kept: list[bytes] = []
    segments = unquote_to_bytes(path).split(b"/")
    for segment in segments:
        if segment == b"..":
            raise RequestRefused(Outcome.BAD_REQUEST, "the path has a .. segment")
        if segment not in (b"", b"."):
            kept.append(segment)
    slash = b"/" if kept and segments[-1] in (b"", b".") else b""
    return b"/" + b"/".join(kept) + slash


def host_name(host: bytes) -> bytes:
    """A host without its port and without the dot that may end a full domain name."""
    if host[:1] == b"[":
        return host[: host.find(b"]") + 1]
    return host.partition(b":")[0].removesuffix(b".")


def _header_tests(headers: dict[str, str]) -> list[re.Pattern[bytes]]:
    line = rb"\r\n(?i:%s):[ \t]*+%s[ \t]*+\r\n"
    return [
        re.compile(line % (re.escape(name.encode()), re.escape(value.encode("latin-1"))))
        for name, value in headers.items()
    ]


class _RouteTest:
    def __init__(self, match: RouteMatch) -> None:
        host = match.host.encode() if match.host else None
        self.suffix = host[1:] if host is not None and host.startswith(b"*.") else None
        self.host = host if self.suffix is None else None
        self.prefix = match.path_prefix.rstrip("/").encode() if match.path_prefix else b""
        # The dot takes a line feed too: %0A is no way around a route.
        self.regex = re.compile(match.path_regex.encode(), re.DOTALL) if match.path_regex is not None else None
        self.methods = frozenset(method.encode() for method in match.methods)
        self.headers = _header_tests(match.headers)

    def holds(self, method: bytes, host: bytes, path: bytes, headers: bytes) -> bool:
        if self.host is not None and host != self.host:
            return False
        if self.suffix is not None and not host.endswith(self.suffix):
            return False
        if self.methods and method not in self.methods:
            return False
        if self.prefix and path != self.prefix and not path.startswith(self.prefix + b"/"):
            return False
        if self.regex is not None and not self.regex.fullmatch(path):
            return False
        return all(test.search(headers) for test in self.headers)


class _ClassTest:
    def __init__(self, match: ClassMatch, routes: Sequence[str]) -> None:
        self.route = routes.index(match.route) if match.route is not None else None
        self.methods = frozenset(method.encode() for method in match.methods)
        self.headers = _header_tests(match.headers)

    def holds(self, method: bytes, headers: bytes, route: int) -> bool:
        return (
            (self.route is None or self.route == route)
            and (not self.methods or method in self.methods)
            and all(test.search(headers) for test in self.headers)
        )


class Routing:
    """The routes and request classes of a configuration, ready to be asked for every request."""

    __slots__ = ("_by_path", "_catch_all", "_classes", "_routes")

    def __init__(self, config: Config) -> None:
        self._routes = [_RouteTest(route.match) for route in config.routes]
        self._catch_all = bool(config.routes) and config.routes[0].match == RouteMatch()
        self._by_path = any(test.prefix or test.regex for test in self._routes)
        names = [route.name for route in config.routes]
        self._classes = [
            (number, _ClassTest(entry.match, names)) for number, entry in enumerate(config.request_classes, 1)
        ]

    def route(self, method: bytes, target: bytes, block: HeaderBlock) -> int:
        """The number of the first route that matches; `NO_ROUTE` where none does.

        Raises:
            RequestRefused: see `canonical_path`, where routes go by paths.
        """
        if self._catch_all:
            return 0
        host = host_name(block.host)
        path = canonical_path(target) if self._by_path else b""
        for number, test in enumerate(self._routes):
            if test.holds(method, host, path, block.headers):
                return number
        return NO_ROUTE

    def request_class(self, method: bytes, block: HeaderBlock, route: int) -> int:
        """The number of the first class that matches; 0 where none does."""
        for number, test in self._classes:
            if test.holds(method, block.headers, route):
                return number
        return 0

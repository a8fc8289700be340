# cython: annotation_typing=False
"""What one route asks of a request besides its host and the beginning of its path, which lead to the route."""

import re

from smartlb.config.model import RouteMatch
from smartlb.config.regex import LinearRegex
from smartlb.wire.http1 import HeaderBlock


class RouteTest:
    """Asks for what a match of the configuration demands; compiled with the types of ``match.pxd``.

    Args:
        number: of the route.
        match: of the configuration.

    Attributes:
        number: of the route.
        start: segments that every path which takes the route begins with.
    """

    def __init__(self, number: int, match: RouteMatch) -> None:
        self.number = number
        self._regex = LinearRegex(match.path_regex) if match.path_regex is not None else None
        self._methods = frozenset(method.encode() for method in match.methods) or None
        self._headers = header_tests(match.headers) or None
        self.start = _segments(match, self._regex)

    def holds(self, method: bytes, path: bytes, block: HeaderBlock) -> bool:
        """Whether a request takes the route, if it has the route's host and its path has the route's `start`.

        Args:
            method: of the request.
            path: canonical.
            block: the request's headers.
        """
        if self._methods is not None and method not in self._methods:
            return False
        if self._regex is not None and not self._regex.matches(path):
            return False
        return self._headers is None or all_found(self._headers, block.headers)


def _segments(match: RouteMatch, regex: LinearRegex | None) -> list[bytes]:
    if match.path_prefix is not None:
        start = match.path_prefix.rstrip("/").encode()
    elif regex is not None:
        # What follows the last slash may be the beginning of a segment only.
        start = regex.start if regex.exact else regex.start.rpartition(b"/")[0]
    else:
        start = b""
    return start.split(b"/")[1:]


def header_tests(headers: dict[str, str]) -> list[re.Pattern[bytes]]:
    """For each header a pattern that is found in the headers of a request that has it with its value.

    Nothing in the patterns goes back and forth, so a search takes time in proportion to the headers.
    """
    line = rb"\r\n(?i:%s):[ \t]*+%s[ \t]*+\r\n"
    return [
        re.compile(line % (re.escape(name.encode()), re.escape(value.encode("latin-1"))))
        for name, value in headers.items()
    ]


def all_found(tests: list[re.Pattern[bytes]], headers: bytes) -> bool:
    """Whether each of the patterns is found."""
    for test in tests:  # noqa: SIM110 -- a generator costs more than the searches
        if test.search(headers) is None:
            return False
    return True

# cython: annotation_typing=False
"""Which class a request belongs to: a kind of request whose cost may differ by backend."""

from collections.abc import Sequence

from smartlb.config.model import ClassMatch, RequestClass
from smartlb.routing.match import all_found, header_tests
from smartlb.wire.http1 import HeaderBlock


class ClassTest:
    """Asks for what a class demands besides the route; compiled with the types of ``classes.pxd``."""

    def __init__(self, number: int, match: ClassMatch) -> None:
        self.number = number
        self._methods = frozenset(method.encode() for method in match.methods) or None
        self._headers = header_tests(match.headers) or None

    def holds(self, method: bytes, block: HeaderBlock) -> bool:
        """Whether a request of the class's route, if it has one, belongs to the class."""
        if self._methods is not None and method not in self._methods:
            return False
        return self._headers is None or all_found(self._headers, block.headers)


class RequestClasses:
    """The request classes of a configuration, in its order; 0 is the number of none.

    Args:
        classes: of the configuration.
        routes: names of its routes.
    """

    def __init__(self, classes: Sequence[RequestClass], routes: Sequence[str]) -> None:
        tests = [(entry.match.route, ClassTest(number, entry.match)) for number, entry in enumerate(classes, 1)]
        self._anywhere = [test for name, test in tests if name is None]
        named = {name for name, _ in tests if name is not None}
        self._of_route = {
            number: [test for of, test in tests if of is None or of == name]
            for number, name in enumerate(routes)
            if name in named
        }

    def first(self, method: bytes, block: HeaderBlock, route: int) -> int:
        """The number of the first class that a request belongs to; 0 where there is none."""
        tests = self._anywhere
        if self._of_route:
            tests = self._of_route.get(route, tests)
        for test in tests:
            if test.holds(method, block):
                return test.number
        return 0

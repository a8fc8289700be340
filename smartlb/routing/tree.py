# cython: annotation_typing=False
"""Finds the first of many routes by the segments of a path."""

from smartlb.routing.match import RouteTest
from smartlb.wire.http1 import HeaderBlock


class PathNode:
    """Where a sequence of segments ends; compiled with the types of ``tree.pxd``.

    Attributes:
        tests: of the routes whose path begins with these segments and asks for no more, in order.
        children: the nodes one segment further.
        below: the lowest number of a route in `children` and their own; above all numbers where there is none.
    """

    def __init__(self, none: int) -> None:
        self.tests: list[RouteTest] = []
        self.children: dict[bytes, PathNode] = {}
        self.below = none


class PathTree:
    """Routes by the segments that their paths begin with.

    A path passes all the nodes that its segments lead to, and each may have routes that take it. The one of the lowest
    number is taken, wherever it is: a longer prefix is no reason to take a route.

    Args:
        none: a number above those of all routes.
    """

    def __init__(self, none: int) -> None:
        self._root = PathNode(none)
        self._none = none

    def add(self, test: RouteTest) -> None:
        """Add a route whose number is above all that were added before."""
        node = self._root
        for segment in test.start:
            node.below = min(node.below, test.number)
            node = node.children.setdefault(segment, PathNode(self._none))
        node.tests.append(test)

    def first(self, method: bytes, path: bytes, block: HeaderBlock, best: int) -> int:
        """The number of the first route below `best` that a request takes; `best` where there is none.

        Args:
            method: of the request.
            path: canonical; empty where no route asks for one.
            block: the request's headers.
            best: the number of a route that the request takes, or that of `none`.
        """
        node = self._root
        text = path
        at, length = 0, len(path)
        while True:
            for test in node.tests:
                if test.number >= best:
                    break
                if test.holds(method, path, block):
                    best = test.number
                    break
            # Between two segments there is a slash; what begins with none is an asterisk.
            if node.below >= best or at >= length or text[at] != ord("/"):
                return best
            start = at = at + 1
            while at < length and text[at] != ord("/"):
                at += 1
            child = node.children.get(text[start:at])
            if child is None:
                return best
            node = child

# cython: annotation_typing=False
"""Which routes a host may take: its own, those of the domains it lies in, and those of any host."""

from smartlb.routing.match import RouteTest
from smartlb.routing.tree import PathTree
from smartlb.wire.http1 import HeaderBlock


def host_name(host: bytes) -> bytes:
    """A host without its port and without the dot that may end a full domain name."""
    text = host
    length = len(host)
    if length and text[0] == ord("["):
        return host[: host.find(b"]") + 1]
    end = 0
    while end < length and text[end] != ord(":"):
        end += 1
    if end and text[end - 1] == ord("."):
        end -= 1
    return host if end == length else text[:end]


class Domain:
    """A domain, found label by label from its end; compiled with the types of ``host.pxd``.

    Attributes:
        parts: the domains in it that routes name, by their first label.
        routes: of ``*.DOMAIN``; None where there are none.
    """

    def __init__(self) -> None:
        self.parts: dict[bytes, Domain] = {}
        self.routes: PathTree | None = None


class HostRoutes:
    """Routes by host, then by path.

    Args:
        none: a number above those of all routes.
    """

    def __init__(self, none: int) -> None:
        self._none = none
        self._exact: dict[bytes, PathTree] = {}
        self._root = Domain()
        self._any: PathTree | None = None
        self._by_host = False

    def add(self, host: str | None, test: RouteTest) -> None:
        """Add a route whose number is above all that were added before.

        Args:
            host: that it is for, or ``*.DOMAIN``; None for any.
            test: the rest of what it asks for.
        """
        if host is None:
            if self._any is None:
                self._any = PathTree(self._none)
            self._any.add(test)
            return
        self._by_host = True
        if not host.startswith("*."):
            self._exact.setdefault(host.encode(), PathTree(self._none)).add(test)
            return
        domain = self._root
        for label in reversed(host.encode().split(b".")[1:]):
            domain = domain.parts.setdefault(label, Domain())
        if domain.routes is None:
            domain.routes = PathTree(self._none)
        domain.routes.add(test)

    def first(self, method: bytes, path: bytes, block: HeaderBlock) -> int:
        """The number of the first route that a request takes; that of `none` where there is none.

        Args:
            method: of the request.
            path: canonical; empty where no route asks for one.
            block: the request's headers.
        """
        best = self._none
        if self._by_host:
            name = host_name(block.host)
            tree = self._exact.get(name)
            if tree is not None:
                best = tree.first(method, path, block, best)
            domain: Domain | None = self._root
            text = name
            at = len(name)
            while domain is not None and domain.parts:
                end = at
                while at and text[at - 1] != ord("."):
                    at -= 1
                if not at:
                    break  # the domain itself does not lie in itself
                domain = domain.parts.get(text[at:end])
                at -= 1
                if domain is not None and domain.routes is not None:
                    best = domain.routes.first(method, path, block, best)
        if self._any is not None:
            best = self._any.first(method, path, block, best)
        return best

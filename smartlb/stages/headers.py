"""Headers that are set or removed, in requests and in responses."""

from collections.abc import Mapping, Sequence

from smartlb.stages.context import Context, ResponseHead
from smartlb.stages.stage import Stage


class HeaderEdits:
    """Headers that are set or removed, on a head that is otherwise kept as it came.

    Names with _ for - are the same to many backends, so they go too.

    Args:
        settings: the headers to set, with their values.
        removed: the names of those to remove.
    """

    def __init__(self, settings: Mapping[str, str], removed: Sequence[str]) -> None:
        self._names = frozenset(_spelled_alike(name.encode()) for name in (*settings, *removed))
        self._lines = [b"%s: %s" % (name.encode(), value.encode("latin-1")) for name, value in settings.items()]

    def __bool__(self) -> bool:
        return bool(self._names)

    def apply(self, head: bytes) -> bytes:
        """The head with the changes; its first line, which may be empty, stays the first."""
        first, *lines = head.split(b"\r\n")
        names = self._names
        kept = [line for line in lines if _spelled_alike(line.partition(b":")[0]) not in names]
        return b"\r\n".join((first, *self._lines, *kept))


class RequestHeaders(Stage):
    """Changes to the headers that backends get.

    Args:
        edits: which.
    """

    def __init__(self, edits: HeaderEdits) -> None:
        self._edits = edits

    def request(self, context: Context) -> None:
        """Change them."""
        context.edit(self._edits)


class ResponseHeaders(Stage):
    """Changes to the headers that clients get.

    Args:
        edits: which.
    """

    def __init__(self, edits: HeaderEdits) -> None:
        self._edits = edits

    def response(self, _context: Context, head: ResponseHead) -> None:
        """Change them."""
        head.raw = self._edits.apply(head.raw)


def _spelled_alike(name: bytes) -> bytes:
    return name.lower().replace(b"_", b"-")

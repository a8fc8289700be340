# cython: annotation_typing=False
"""A body that passes through the filters of stages, and is framed anew behind them."""

from collections.abc import Iterable

from smartlb.stages.stage import BodyFilter
from smartlb.wire.chunked import chunk


def changes(filters: Iterable[BodyFilter]) -> bool:
    """Whether what comes out of these filters may differ from what goes in."""
    return any(each.changes for each in filters)


class FilteredBody:
    """One body, of a request or of a response.

    Args:
        filters: in the order in which its content passes them.
        in_chunks: whether it is sent in chunks; otherwise its content is sent as it is.
    """

    def __init__(self, filters: list[BodyFilter], in_chunks: bool) -> None:
        self._filters = filters
        self._in_chunks = in_chunks
        self._changes = changes(filters)

    def feed(self, content: bytes) -> bytes:
        """What to send after a piece of content; nothing where a filter holds it back."""
        for each in self._filters:
            if not content:
                break
            content = each.feed(content)
        return chunk(content) if self._in_chunks else content

    def end(self, trailers: Iterable[bytes]) -> bytes:
        """What to send at the end.

        Args:
            trailers: lines without their CRLF. Where a filter changes the content they are left out, as what they say
                may be of the content before.
        """
        content = b""
        for each in self._filters:
            content = (each.feed(content) if content else b"") + each.end()
        if not self._in_chunks:
            return content
        lines = [] if self._changes else [line + b"\r\n" for line in trailers]
        return chunk(content) + b"0\r\n" + b"".join(lines) + b"\r\n"

"""The chunked transfer coding (RFC 9112 section 7.1), read strictly and without I/O."""

import re

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t -~\x80-\xff]*)?")
_TRAILER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t -~\x80-\xff]*")
_LONGEST_SIZE_LINE = 1_024
_LONGEST_TRAILERS = 8_192
_MOST_EXCESS = 16_384  # bytes by which chunk extensions may outweigh their chunks (RFC 9112 section 7.1.1)

# What frames, routes or authenticates a message, or says how to read it, has no place after it
# (RFC 9110 section 6.5.1).
_NOT_IN_TRAILERS = frozenset(
    (
        b"authorization",
        b"cache-control",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"forwarded",
        b"host",
        b"keep-alive",
        b"max-forwards",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"range",
        b"set-cookie",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"www-authenticate",
        b"x-request-id",
    )
)
_CLAIMS = (b"x-client-cert-", b"x-forwarded-")


def chunk(content: bytes) -> bytes:
    """A chunk with this content; nothing for nothing, as an empty chunk would end the body."""
    return b"%x\r\n%s\r\n" % (len(content), content) if content else b""


class BadChunk(Exception):
    """A body that breaks the chunked coding; the message says how."""


class ChunkedBody:
    """Follows one chunked body over its pieces.

    Chunk extensions and forbidden trailers are left out; sizes, line ends and trailers must be exact.

    Args:
        unframed: give out the bare content instead of chunks, for a peer that does not speak HTTP/1.1.

    Attributes:
        complete: whether the last byte has been seen.
        received: content bytes so far.
        trailers: the lines after an unframed body, without their CRLF.
    """

    __slots__ = (
        "_excess",
        "_in_trailers",
        "_kept",
        "_left",
        "_trailer_bytes",
        "_unframed",
        "complete",
        "received",
        "trailers",
    )

    def __init__(self, unframed: bool = False) -> None:
        self.complete = False
        self.received = 0
        self.trailers: list[bytes] = []
        self._unframed = unframed
        self._left = 0  # bytes of the present chunk, its CRLF included
        self._excess = 0
        self._in_trailers = False
        self._trailer_bytes = 0
        self._kept = b""  # the beginning of a line

    def feed(self, data: bytes, start: int = 0) -> tuple[bytes, int]:
        """Take in `data` from `start`.

        Returns:
            What to forward, and the position after the last byte that belongs to the body.

        Raises:
            BadChunk: the coding is broken.
        """
        if self._kept:
            data, start, skipped = self._kept + data[start:], 0, start - len(self._kept)
            self._kept = b""
        else:
            skipped = 0
        out: list[bytes] = []
        at, end = start, len(data)
        while at < end and not self.complete:
            if self._left:
                at = self._content(data, at, out)
                continue
            line_end = data.find(b"\r\n", at)
            if line_end < 0:
                self._keep(data[at:])
                at = end
                break
            line = data[at:line_end]
            at = line_end + 2
            if self._in_trailers:
                self._trailer(line, out)
            else:
                self._size(line, out)
        return b"".join(out), at + skipped

    def _content(self, data: bytes, at: int, out: list[bytes]) -> int:
        left = self._left
        stop = min(at + left, len(data))
        content = min(left - 2, stop - at)
        if content > 0:
            self.received += content
        else:
            content = 0
        if stop - at > content:
            # Some of the chunk's CRLF is here.
            expected = b"\r\n"[2 - (left - content) :][: stop - at - content]
            if data[at + content : stop] != expected:
                raise BadChunk("a chunk does not end in CRLF")
        out.append(data[at : at + content] if self._unframed else data[at:stop])
        self._left = left - (stop - at)
        return stop

    def _size(self, line: bytes, out: list[bytes]) -> None:
        found = _SIZE_LINE.fullmatch(line)
        if found is None or len(line) > _LONGEST_SIZE_LINE:
            raise BadChunk(f"not a chunk size: {line[:32]!r}")
        digits = found[1]
        size = int(digits, 16)
        excess = len(line) - len(digits) - size
        if excess > 0:
            self._excess += excess
            if self._excess > _MOST_EXCESS:
                raise BadChunk("there are more chunk extensions than content")
        if size == 0:
            self._in_trailers = True
            if not self._unframed:
                out.append(b"0\r\n")
            return
        self._left = size + 2
        if not self._unframed:
            out.append(digits + b"\r\n")

    def _trailer(self, line: bytes, out: list[bytes]) -> None:
        if not line:
            self.complete = True
            if not self._unframed:
                out.append(b"\r\n")
            return
        self._trailer_bytes += len(line)
        found = _TRAILER_LINE.fullmatch(line)
        if found is None or self._trailer_bytes > _LONGEST_TRAILERS:
            raise BadChunk(f"not a trailer: {line[:32]!r}")
        name = found[1].lower().replace(b"_", b"-")  # as many backends read it
        if name in _NOT_IN_TRAILERS or name.startswith(_CLAIMS):
            return
        if self._unframed:
            self.trailers.append(line)
        else:
            out.append(line + b"\r\n")

    def _keep(self, piece: bytes) -> None:
        longest = _LONGEST_TRAILERS if self._in_trailers else _LONGEST_SIZE_LINE
        if len(piece) > longest or b"\n" in piece:
            raise BadChunk("a line of the chunked coding is too long or does not end in CRLF")
        self._kept = piece

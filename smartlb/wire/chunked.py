# cython: annotation_typing=False
"""The chunked transfer coding (RFC 9112 section 7.1), read strictly and without I/O."""

import re

from smartlb.wire.names import is_claim

_TRAILER_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t -~\x80-\xff]*")
_MOST_DIGITS = 15
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
    )
)
_ODD = re.compile(rb"[^0-9a-z-]")


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
            What to forward, `data` itself where that is all of it; and the position after the last byte that belongs to
            the body.

        Raises:
            BadChunk: the coding is broken.
        """
        size = len(data) - start
        if 0 < size <= self._left - 2:  # all within a chunk, as most of what is large is
            self._left -= size
            self.received += size
            return data[start:] if start else data, start + size
        skipped = 0
        if self._kept:
            data, start, skipped = self._kept + data[start:], 0, start - len(self._kept)
            self._kept = b""
        at, end = start, len(data)
        out: list[bytes] = []  # what goes out before the run
        run = start  # bytes that go out as they came, up to `at`
        text = data
        while at < end and not self.complete:
            if self._left:
                at = self._content(data, at, end, out)
                continue
            line_end = at
            while line_end + 1 < end and not (text[line_end] == 13 and text[line_end + 1] == 10):
                line_end += 1
            if line_end + 1 >= end:
                if not self._unframed and at > run:
                    out.append(data[run:at])
                self._keep(data[at:])
                run = at = end
                break
            if self._in_trailers:
                run = self._trailer(data, at, line_end, run, out)
            else:
                run = self._size(data, at, line_end, run, out)
            at = line_end + 2
        if not self._unframed and at > run:
            if not out:
                return data if run == 0 and at == end else data[run:at], at + skipped
            out.append(data[run:at])
        if len(out) == 1:
            return out[0], at + skipped
        return b"".join(out), at + skipped

    def _content(self, data: bytes, at: int, end: int, out: list[bytes]) -> int:
        """Pass some of a chunk, and of the CRLF after it; returns where it ends."""
        text = data
        here = min(self._left, end - at)
        content = min(self._left - 2, here)
        if content < 0:
            content = 0
        self.received += content
        for position in range(at + content, at + here):
            if text[position] != (13 if self._left - (position - at) == 2 else 10):
                raise BadChunk("a chunk does not end in CRLF")
        self._left -= here
        if self._unframed and content:
            out.append(data if content == len(data) else data[at : at + content])
        return at + here

    def _size(self, data: bytes, at: int, line_end: int, run: int, out: list[bytes]) -> int:
        """Read the line before a chunk; returns where the run begins that it leaves."""
        text = data
        size = 0
        digits_end = at
        while digits_end < line_end and digits_end - at <= _MOST_DIGITS:
            digit = _hexadecimal(text[digits_end])
            if digit < 0:
                break
            size = size * 16 + digit
            digits_end += 1
        if not 0 < digits_end - at <= _MOST_DIGITS or line_end - at > _LONGEST_SIZE_LINE:
            raise _bad_size(data[at:line_end])
        if digits_end < line_end:
            after = digits_end
            while text[after] == 32 or text[after] == 9:
                after += 1
            if text[after] != 59:  # ;
                raise _bad_size(data[at:line_end])
            while after < line_end:
                character = text[after]
                if (character < 32 and character != 9) or character == 127:
                    raise _bad_size(data[at:line_end])
                after += 1
            excess = line_end - digits_end - size
            if excess > 0:
                self._excess += excess
                if self._excess > _MOST_EXCESS:
                    raise BadChunk("there are more chunk extensions than content")
        if size == 0:
            self._in_trailers = True
            digits_end = min(digits_end, at + 1)
        else:
            self._left = size + 2
        if digits_end == line_end or self._unframed:
            return run
        out.append(data[run:digits_end])
        return line_end

    def _trailer(self, data: bytes, at: int, line_end: int, run: int, out: list[bytes]) -> int:
        """Read a line after the last chunk; returns where the run begins that it leaves."""
        line = data[at:line_end]
        if not line:
            self.complete = True
            return run
        self._trailer_bytes += len(line)
        found = _TRAILER_LINE.fullmatch(line)
        if found is None or self._trailer_bytes > _LONGEST_TRAILERS:
            raise BadChunk(f"not a trailer: {line[:32]!r}")
        # As many backends read it.
        if _ODD.sub(b"-", found[1].lower()) not in _NOT_IN_TRAILERS and not is_claim(found[1]):
            if self._unframed:
                self.trailers.append(line)
            return run
        if not self._unframed:
            out.append(data[run:at])
        return line_end + 2

    def _keep(self, piece: bytes) -> int:
        longest = _LONGEST_TRAILERS if self._in_trailers else _LONGEST_SIZE_LINE
        if len(piece) > longest or b"\n" in piece:
            raise BadChunk("a line of the chunked coding is too long or does not end in CRLF")
        self._kept = piece
        return 0


def _bad_size(line: bytes) -> BadChunk:
    return BadChunk(f"not a chunk size: {line[:32]!r}")


def _hexadecimal(character: int) -> int:
    """What a hexadecimal digit says; -1 for others."""
    if 48 <= character <= 57:
        return character - 48
    digit = (character | 32) - 97
    return digit + 10 if 0 <= digit < 6 else -1

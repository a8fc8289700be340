"""Responses made smaller on their way to clients that take it, by gzip, Brotli or Zstandard.

RFC 9110: negotiation in section 12.5.3, what may not be changed in 7.7, validators in 8.8.1. The libraries do the
compressing. A body of unknown length may be a stream that somebody waits for, so each of its pieces is passed on whole.
"""

import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import brotli
import zstandard

from smartlb.config.traffic import Compression as Settings
from smartlb.stages.context import Context, ResponseHead
from smartlb.stages.stage import Stage
from smartlb.wire.http1 import header_list, without_headers

_accept_encoding = header_list("accept-encoding")

_CODING = re.compile(rb"[ \t]*+([!#$%&'*+.^_`|~0-9A-Za-z-]++)[ \t]*+(?:;[ \t]*+[qQ]=([01](?:\.[0-9]{0,3})?)[ \t]*+)?")
_VARY_ALL: Final = re.compile(rb"\r\nvary:(?:[^\r\n]*,)?[ \t]*(?:\*|accept-encoding)[ \t]*(?=,|\r\n)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\n(?i:content-length):[ \t]*([0-9]+)")
_STRONG_TAG: Final = re.compile(rb"(\r\n(?i:etag):[ \t]*)\"")


# A compressor's tables are as large as its window lets them be. These keep each below 3.5 MB at every level, at a
# cost of up to 6 % in size.
_BROTLI_WINDOW: Final = 16  # as an exponent of 2
_ZSTD_SIZE: Final = 131_072  # parameters are those for sources of this size, longer ones too

_OF_THE_PLAIN_BODY: Final = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"trailer",
        b"accept-ranges",
        b"content-md5",
        b"digest",
        b"content-digest",
        b"repr-digest",
    )
)
"""Headers that do not hold for what is sent instead."""


class Encoder:
    """Compresses one body.

    Args:
        compress: takes in a piece; gives what can be sent already.
        flush: gives what is held back, so that the other side has all pieces whole.
        finish: gives the end.
        whole: whether the body's length is known, so that nobody waits for its pieces.
    """

    changes = True

    def __init__(
        self, compress: Callable[[bytes], bytes], flush: Callable[[], bytes], finish: Callable[[], bytes], whole: bool
    ) -> None:
        self._compress = compress
        self._flush = flush
        self._whole = whole
        self.end = finish

    def feed(self, data: bytes) -> bytes:
        """What can be sent after this piece."""
        out = self._compress(data)
        return out if self._whole else out + self._flush()


def _gzip(level: int, whole: bool) -> Encoder:
    stream = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return Encoder(stream.compress, partial(stream.flush, zlib.Z_SYNC_FLUSH), stream.flush, whole)


def _brotli(level: int, whole: bool) -> Encoder:
    stream = brotli.Compressor(quality=level, lgwin=_BROTLI_WINDOW)
    return Encoder(stream.process, stream.flush, stream.finish, whole)


def _zstd(level: int, whole: bool) -> Encoder:
    parameters = zstandard.ZstdCompressionParameters.from_level(level, source_size=_ZSTD_SIZE)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return Encoder(stream.compress, partial(stream.flush, zstandard.COMPRESSOBJ_FLUSH_BLOCK), stream.flush, whole)


_ENCODERS: Final[Mapping[bytes, Callable[[int, bool], Encoder]]] = {b"gzip": _gzip, b"br": _brotli, b"zstd": _zstd}


class Compression(Stage):
    """What one route compresses.

    Args:
        settings: of the configuration.
    """

    def __init__(self, settings: Settings) -> None:
        self._encodings = [name.encode() for name in settings.encodings]
        self._levels = {b"gzip": settings.gzip_level, b"br": settings.br_level, b"zstd": settings.zstd_level}
        self._min_bytes = settings.min_bytes
        exact = [re.escape(each) for each in settings.content_types if not each.endswith("/*")]
        families = [re.escape(each[:-1]) + "[^;, \t\r\n]++" for each in settings.content_types if each.endswith("/*")]
        self._types = re.compile(
            rb"\r\n(?i:content-type:[ \t]*(?:%s)[ \t]*(?:;|\r\n))" % "|".join((*exact, *families)).encode()
        )

    def response(self, context: Context, head: ResponseHead) -> Encoder | None:
        """Say that the body is compressed, and compress it, where that may be."""
        block = context.block
        if block.http10:
            return None
        head.raw, encoder = self.applied(
            head.raw, head.status, head.length, context.request.method, _accept_encoding(block)
        )
        return encoder

    def applied(
        self, raw: bytes, status: int, length: int, method: bytes, accepted: bytes
    ) -> tuple[bytes, Encoder | None]:
        """The head to send, and what compresses the body that follows; None where it stays as it is.

        Args:
            raw: the response's head without the empty line.
            status: of the response.
            length: of its body; negative where it is not known.
            method: of the request.
            accepted: the request's Accept-Encoding.
        """
        bodiless = method == b"HEAD" or status == 304
        if bodiless:
            # What counts is the response that a GET would have had.
            said = _LENGTH.search(raw)
            length = int(said[1]) if said and status != 304 else -1
        if not self._may_change(raw, status, length):
            return raw, None
        if not _VARY_ALL.search(raw):
            raw += b"vary: accept-encoding\r\n"
        encoding = chosen(accepted, self._encodings)
        if encoding is None:
            return raw, None
        raw = _STRONG_TAG.sub(rb'\1W/"', raw)
        if status == 304:
            return raw, None
        raw = without_headers(raw, _OF_THE_PLAIN_BODY) + b"content-encoding: %s\r\n" % encoding
        if bodiless:
            return raw, None
        return raw, _ENCODERS[encoding](self._levels[encoding], length >= 0)

    def _may_change(self, raw: bytes, status: int, length: int) -> bool:
        if status in (204, 206) or status < 200 or 0 <= length < self._min_bytes:
            return False
        head = raw.lower()
        return (
            (self._types.search(raw) is not None or (status == 304 and b"\r\ncontent-type:" not in head))
            and b"\r\ncontent-encoding:" not in head
            and b"\r\ncontent-range:" not in head
            and not re.search(rb"\r\ncache-control:[^\r\n]*no-transform", head)
        )


def chosen(accepted: bytes, offered: Sequence[bytes]) -> bytes | None:
    """The encoding that the client likes best, of those it likes equally the first; None for none.

    Args:
        accepted: an Accept-Encoding header.
        offered: encodings, the preferred first.
    """
    weights: dict[bytes, float] = {}
    for item in accepted.lower().split(b","):
        found = _CODING.fullmatch(item)
        if found is not None:
            weights[found[1]] = float(found[2] or 1.0)
    other = weights.get(b"*", 0.0)
    best = max(offered, key=lambda name: weights.get(name, other))
    weight = weights.get(best, other)
    # Not to be compressed is always acceptable, but where the client says how much it likes that, it counts.
    return best if weight > 0.0 and weight >= weights.get(b"identity", 0.0) else None

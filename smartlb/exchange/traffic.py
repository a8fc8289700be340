"""Routes that do more with a request than hand it to their pool."""

from collections.abc import Mapping
from random import Random
from typing import Any

from smartlb.config.model import Pool as Settings
from smartlb.config.model import Route
from smartlb.exchange.exchange import Exchange
from smartlb.stages.answer import FixedResponse, Redirection
from smartlb.stages.compression import Compression, Encoder
from smartlb.stages.mirror import Mirror
from smartlb.stages.rate_limit import RateLimit
from smartlb.stages.rewriting import HeaderEdits, PrefixRewrite
from smartlb.stages.split import Split
from smartlb.upstream.pool import Pool
from smartlb.wire.chunked import chunk
from smartlb.wire.forwarding import Peer
from smartlb.wire.http1 import CHUNKED, HeaderBlock, header_list

_accept_encoding = header_list("accept-encoding")


def needs_control(route: Route, pools: Mapping[str, Settings]) -> bool:
    """Whether a route does more than hand its requests to a pool that looks at no more of them than its policy does."""
    return (
        route.pool is None
        or route.edits
        or route.rate_limit is not None
        or route.mirror is not None
        or route.compression is not None
        or pools[route.pool].affinity is not None
    )


class RouteTraffic:
    """What one route does, ready to be asked for each of its requests.

    Args:
        route: of the configuration.
        pools: by name.
        random: for random choices.
        buckets: the table of buckets of the route's rate limit, in memory that all workers share; empty where it has
            none.

    Attributes:
        answer: what the route answers by itself, where it does.
        response_edits: changes to the heads of responses.
        limit: how many requests a client may send, where there is one.
        mirror: makes copies of requests, where the route has them made.
        compression: of responses, where there is any.
    """

    __slots__ = (
        "_pool",
        "_request_edits",
        "_rewrite",
        "_split",
        "_split_by_client",
        "answer",
        "compression",
        "limit",
        "mirror",
        "response_edits",
    )

    def __init__(self, route: Route, pools: Mapping[str, Pool], random: Random, buckets: memoryview) -> None:
        self._pool = pools[route.pool] if route.pool is not None else None
        self._split = Split(route.split, pools, random) if route.split is not None else None
        self._split_by_client = route.split_by == "client_ip"
        self.answer: Redirection | FixedResponse | None = None
        if route.redirect is not None:
            self.answer = Redirection(route.redirect)
        elif route.respond is not None:
            self.answer = FixedResponse(route.respond)
        self._rewrite = (
            PrefixRewrite(route.match.path_prefix, route.rewrite.prefix)
            if route.rewrite is not None and route.match.path_prefix is not None
            else None
        )
        self._request_edits = HeaderEdits(route.set_request_headers, route.remove_request_headers)
        self.response_edits = HeaderEdits(route.set_response_headers, route.remove_response_headers)

        self.limit = RateLimit(route.rate_limit, buckets) if route.rate_limit is not None else None
        self.compression = Compression(route.compression) if route.compression is not None else None
        self.mirror = Mirror(route.mirror, pools, random) if route.mirror is not None else None

    def pool(self, peer: Peer, target: bytes, block: HeaderBlock) -> Pool:
        """The pool for a request of a route that has no `answer`."""
        if self._pool is not None:
            return self._pool
        assert self._split is not None
        return self._split.pool(peer.key("client_ip", target, block) if self._split_by_client else None)

    def head(self, method: bytes, target: bytes, outgoing: bytes, request_id: bytes) -> bytes:
        """The head of the request to send; `outgoing` is that of its `HeaderBlock`."""
        if self._rewrite is not None:
            target = self._rewrite.target(target)
        if self._request_edits:
            outgoing = self._request_edits.apply(outgoing)
        return b"%s %s HTTP/1.1%s%s\r\n\r\n" % (method, target, outgoing, request_id)


class ControlledExchange(Exchange):
    """An exchange on a route as such."""

    __slots__ = ("_block", "_copy", "_peer", "_traffic", "encoder")

    def __init__(self, traffic: RouteTraffic, peer: Peer, block: HeaderBlock, *rest: Any) -> None:
        super().__init__(*rest)
        self._traffic = traffic
        self._peer = peer
        self._block = block
        self._copy: bytes | None = None
        self.encoder: Encoder | None = None

    def start(self, data: bytes) -> None:
        """As for any exchange, with a copy of the request for the mirror."""
        super().start(data)
        mirror = self._traffic.mirror
        if mirror is not None and self.may_copy and mirror.wants():
            self._copy = b""
            self._add_to_copy(mirror, data)

    def send(self, data: bytes) -> None:
        """As for any exchange, with a copy of the request for the mirror."""
        super().send(data)
        if self._copy is not None and self._traffic.mirror is not None:
            self._add_to_copy(self._traffic.mirror, data)

    def _add_to_copy(self, mirror: Mirror, data: bytes) -> None:
        copy, self._copy = self._copy, None
        if copy is None or max(self.request_bytes, self._block.length) > mirror.max_body_bytes:
            return
        if self.request_complete:
            mirror.send(self, copy + data, self._peer, self._block)
        else:
            self._copy = copy + data

    def edited(self, raw: bytes) -> bytes:
        """The head of a response with the changes of the route, and what affinity adds."""
        edits = self._traffic.response_edits
        if edits:
            raw = edits.apply(raw)
        return raw + self.pool.response_line(self._key, self._position)

    def start_response(self, raw: bytes, status: int, length: int) -> bytes:
        """As for any exchange, with the changes of the route."""
        raw = self.edited(raw)
        compression = self._traffic.compression
        if compression is not None and not self.http10:
            accepted = _accept_encoding(self._block)
            raw, self.encoder = compression.applied(raw, status, length, self.method, accepted)
            if self.encoder is not None:
                length = CHUNKED
        return super().start_response(raw, status, length)

    def response_complete(self, now_s: float) -> None:
        """As for any exchange, with the end of what was compressed."""
        if self.encoder is not None:
            self._connection = None  # it is not to be paused any more, however slowly the client takes the end
            self.client.transport.write(chunk(self.encoder.end()) + b"0\r\n\r\n")
        super().response_complete(now_s)

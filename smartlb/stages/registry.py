"""Which stages a route has, in their order."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from smartlb.config.model import Route
from smartlb.stages.answer import FixedResponse, Redirection
from smartlb.stages.compression import Compression
from smartlb.stages.headers import HeaderEdits, RequestHeaders, ResponseHeaders
from smartlb.stages.mirror import Copy, Mirror
from smartlb.stages.plan import RoutePlan
from smartlb.stages.rate_limit import RateLimit
from smartlb.stages.rewrite import PrefixRewrite
from smartlb.stages.split import Split
from smartlb.stages.stage import Stage

SendCopies = Callable[[int], Callable[[Copy], None]]
"""Makes what sends copies, of which so many may be under way."""


def plan_of(
    route: Route, pools: Mapping[str, Any], buckets: memoryview, send_copies: SendCopies, random: Random
) -> RoutePlan:
    """What a route does.

    Args:
        route: of the configuration.
        pools: by name.
        buckets: of its rate limit, in shared memory.
        send_copies: for mirrors.
        random: for random choices.
    """
    pool = pools[route.pool] if route.pool is not None else None
    return RoutePlan(pool, _stages(route, pools, buckets, send_copies, random))


def _stages(
    route: Route, pools: Mapping[str, Any], buckets: memoryview, send_copies: SendCopies, random: Random
) -> Sequence[Stage]:
    stages: list[Stage] = []
    if route.rate_limit is not None:
        stages.append(RateLimit(route.rate_limit, buckets))
    if route.redirect is not None:
        stages.append(Redirection(route.redirect))
    if route.respond is not None:
        stages.append(FixedResponse(route.respond))
    if route.split is not None:
        stages.append(Split(route.split, pools, route.split_by == "client_ip", random))
    if route.rewrite is not None and route.match.path_prefix is not None:
        stages.append(PrefixRewrite(route.match.path_prefix, route.rewrite.prefix))
    if edits := HeaderEdits(route.set_request_headers, route.remove_request_headers):
        stages.append(RequestHeaders(edits))
    if route.mirror is not None:
        send = send_copies(route.mirror.max_in_flight)
        stages.append(Mirror(route.mirror, pools[route.mirror.pool], send, random))
    if edits := HeaderEdits(route.set_response_headers, route.remove_response_headers):
        stages.append(ResponseHeaders(edits))
    if route.compression is not None:
        stages.append(Compression(route.compression))
    return stages

"""What finding the route of a request costs, by number of routes: ``python -m benchmarks.routing [--json OUT]``.

Requests are for routes all over the configuration, which go by hosts or by the beginnings of paths. The cost has that
of the call in it, which a configuration with one route for everything shows.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice
from operator import truediv
from typing import Any

from benchmarks.rig.cases import Case, Rows, counted, paired, run
from benchmarks.rig.goals import Goal, at_most
from smartlb.config.model import Config
from smartlb.routing.routing import Routing
from smartlb.wire.http1 import HeaderBlock, find_head_end, read_request

ROUTES = (1, 10, 100, 1_000)
MOST_TIMES = 2.0
"""What finding one of 1,000 routes may cost, times what one of 10 costs."""

_CALLS = 2_000
_REQUESTS = 100
"""Different requests, at most."""

Ask = tuple[bytes, bytes, HeaderBlock]

BY: Mapping[str, Callable[[int], tuple[dict[str, str], str, str]]] = {
    "hosts": lambda number: ({"host": f"site-{number}.example.com"}, f"site-{number}.example.com", "/cart/items/7"),
    "paths": lambda number: ({"path_prefix": f"/area-{number % 32}/part-{number}"}, "shop.example.com",
                             f"/area-{number % 32}/part-{number}/items/7"),
}  # fmt: skip
"""What routes go by: the match of each, with host and target of a request that takes it."""


def _asks(host: str, target: str) -> Ask:
    data = f"GET {target} HTTP/1.1\r\nhost: {host}\r\nuser-agent: benchmark\r\naccept: */*\r\n\r\n".encode()
    request = read_request(data, find_head_end(data, 0), None, 100)
    return request.method, request.target, request.block


def _case(config: Config, asks: Sequence[Ask], expected: Sequence[int]) -> Case:
    route = Routing(config).route
    assert [route(*ask) for ask in asks] == list(expected)
    many = list(islice(cycle(asks), _CALLS))

    def case(calls: int) -> None:
        for _ in range(-(-calls // _CALLS)):
            for method, target, block in many[:calls]:
                route(method, target, block)

    return case


def _config(routes: Sequence[Mapping[str, Any]]) -> Config:
    pools = {"pool": {"backends": ["127.0.0.1:10000"]}}
    return Config.model_validate({"listeners": [{"bind": "127.0.0.1:0"}], "pools": pools, "routes": routes})


def cases() -> dict[str, Case]:
    """One route for everything, and all numbers of routes of each kind."""
    found = {"one for everything": _case(_config([{"name": "all", "pool": "pool"}]), [_asks("a.example", "/")], [0])}
    for what, of in BY.items():
        for count in ROUTES:
            matches = [of(number) for number in range(count)]
            config = _config(
                [{"name": f"r{at}", "match": match, "pool": "pool"} for at, (match, _, _) in enumerate(matches)]
            )
            numbers = [at * count // min(count, _REQUESTS) for at in range(min(count, _REQUESTS))]
            asks = [_asks(*matches[number][1:]) for number in numbers]
            found[_label(count, what)] = _case(config, asks, numbers)
    return found


def _label(count: int, what: str) -> str:
    return f"{count:,} by {what}"


def goals(rows: Rows) -> list[Goal]:
    """How much more many routes should cost at most."""
    found = []
    for what in BY:
        many, few = _label(1_000, what), _label(10, what)
        times, counts = (compare(rows, many, few, truediv) for compare in (paired, counted))
        found.append(at_most(f"µs among 1,000 routes, times those among 10, by {what}", times, MOST_TIMES))
        found.append(at_most(f"instructions among 1,000 routes, times those among 10, by {what}", counts, MOST_TIMES))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    return run("routing", __doc__, cases(), _CALLS, "finding a route", goals, arguments)


if __name__ == "__main__":
    sys.exit(main())

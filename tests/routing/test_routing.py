from typing import Any
from urllib.parse import quote_from_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.config.model import Config
from smartlb.core.record import NO_ROUTE
from smartlb.routing.path import canonical_path
from smartlb.routing.routing import Routing
from smartlb.wire.http1 import RequestRefused, read_request

steady = settings(deadline=None, derandomize=True, max_examples=300)

Match = dict[str, Any]


def routing(*matches: Match, classes: tuple[Match, ...] = ()) -> Routing:
    """Routes named r0, r1, ..., and request classes."""
    return Routing(
        Config.model_validate(
            {
                "listeners": [{"bind": "127.0.0.1:0"}],
                "pools": {"web": {"backends": ["127.0.0.1:1"]}},
                "workers": 1,
                "routes": [{"name": f"r{at}", "match": match, "pool": "web"} for at, match in enumerate(matches)],
                "request_classes": [{"name": f"c{at}", "match": match} for at, match in enumerate(classes)],
            }
        )
    )


def taken(
    router: Routing, target: bytes = b"/", *headers: bytes, method: bytes = b"GET", host: bytes = b"a.example"
) -> int:
    """The number of the route that a request takes."""
    lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: " + host, *headers, b"", b""]
    head = b"\r\n".join(lines)
    request = read_request(head, len(head), None)
    return router.route(request.method, request.target, request.block)


def takes(
    match: Match, target: bytes = b"/", *headers: bytes, method: bytes = b"GET", host: bytes = b"a.example"
) -> bool:
    return taken(routing(match), target, *headers, method=method, host=host) == 0


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"a.example", True),
        (b"A.EXAMPLE", True),
        (b"a.example:8080", True),
        (b"a.example:", True),
        (b"a.example.", True),
        (b"a.example.:80", True),
        (b"b.example", False),
        (b"x.a.example", False),
        (b"a.example.evil", False),
        (b"a.exampleX", False),
        (b"example", False),
        (b"", False),
    ],
)
def test_host(host: bytes, expected: bool) -> None:
    assert takes({"host": "A.example"}, host=host) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (b"a.example", True),
        (b"x.y.A.Example:80", True),
        (b"a.example.", True),
        (b"example", False),
        (b"aexample", False),
        (b"a.example.evil", False),
    ],
)
def test_wildcard_host(host: bytes, expected: bool) -> None:
    assert takes({"host": "*.example"}, host=host) is expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [(b"[2001:db8::1]", True), (b"[2001:DB8::1]:8080", True), (b"[2001:db8::2]", False), (b"2001:8080", False)],
)
def test_ipv6_host(host: bytes, expected: bool) -> None:
    assert takes({"host": "[2001:DB8::1]"}, host=host) is expected


def test_the_host_of_an_absolute_target_counts() -> None:
    assert takes({"host": "b.example"}, b"http://B.example:80/")
    assert not takes({"host": "a.example"}, b"http://b.example/")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/api", True),
        (b"/api/", True),
        (b"/api/x/y", True),
        (b"/api?x=/", True),
        (b"/api/?x", True),
        (b"/apix", False),
        (b"/ap", False),
        (b"/API", False),
        (b"/", False),
        (b"/x/api", False),
        (b"/x?/api", False),
        (b"/%3F/api", False),
        # Spelled to slip past:
        (b"//api", True),
        (b"/./api", True),
        (b"/%61pi", True),
        (b"/%2e/api", True),
        (b"/.%2fapi", True),
        (b"/api%2Fx", True),
        (b"/api/.", True),
        (b"/api/..x", True),
        (b"/api;x", True),
        (b"/api;a=b/x", True),
        (b"/api%3bx", True),
        (b"/;a/api", True),
        (b"/.;a=b/api", True),
        (b"/\\api", True),
        (b"/api\\x", True),
        (b"/api%5Cx", True),
        (b"/.\\api", True),
        (b"/api%3Fx", False),
        (b"/%2561pi", False),  # what is escaped twice is, to a backend, another path
        (b"/%zz/api", False),
    ],
)
@pytest.mark.parametrize("prefix", ["/api", "/api/"])
def test_prefix(prefix: str, target: bytes, expected: bool) -> None:
    assert takes({"path_prefix": prefix}, target) is expected


def test_prefix_beyond_ascii() -> None:
    assert takes({"path_prefix": "/é"}, b"/%C3%A9/x")
    assert not takes({"path_prefix": "/é"}, b"/%E9/x")


@pytest.mark.parametrize("target", [b"/", b"/x", b"//", b"/?x", b"http://a.example"])
def test_the_shortest_prefix_takes_everything(target: bytes) -> None:
    assert takes({"path_prefix": "/"}, target)


def test_the_asterisk_is_no_path_but_the_shortest_prefix_takes_it() -> None:
    assert takes({"path_prefix": "/"}, b"*", method=b"OPTIONS")
    assert not takes({"path_prefix": "/*"}, b"*", method=b"OPTIONS")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/v1/items", True),
        (b"/v2/items?x=1", True),
        (b"/v%31/items", True),
        (b"/v1/./items", True),
        (b"/v1/items/2", False),
        (b"/x/v1/items", False),
        (b"/vx/items", False),
    ],
)
def test_regex_for_the_whole_path(target: bytes, expected: bool) -> None:
    assert takes({"path_regex": "/v[0-9]/items"}, target) is expected


def test_a_line_feed_is_no_way_around_a_regex() -> None:
    assert takes({"path_regex": "/admin/.*"}, b"/admin/a%0Ab")


def test_methods() -> None:
    match = {"methods": ["GET", "HEAD"]}
    assert takes(match)
    assert takes(match, method=b"HEAD")
    assert not takes(match, method=b"POST")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b"X-Tier: gold"], True),
        ([b"x-tier:gold"], True),
        ([b"X-TIER: \t gold \t"], True),
        ([b"A: b", b"X-Tier: gold", b"C: d"], True),
        ([b"X-Tier: silver", b"X-Tier: gold"], True),
        ([b"X-Tier: Gold"], False),
        ([b"X-Tier: golden"], False),
        ([b"X-Tier: g.ld"], False),
        ([b"X-Tier: x gold"], False),
        ([b"X-X-Tier: gold"], False),
        ([b"A: X-Tier: gold"], False),
        ([b"X-Tier:"], False),
        ([], False),
    ],
)
def test_headers(lines: list[bytes], expected: bool) -> None:
    assert takes({"headers": {"X-Tier": "gold"}}, b"/", *lines) is expected


def test_a_value_is_no_pattern() -> None:
    assert takes({"headers": {"a": "b.*(c%s"}}, b"/", b"A: b.*(c%s")
    assert not takes({"headers": {"a": "b.c"}}, b"/", b"A: bxc")
    assert takes({"headers": {"a": "é"}}, b"/", "A: é".encode("latin-1"))
    assert takes({"headers": {"a": ""}}, b"/", b"A: \t ")
    assert not takes({"headers": {"a": ""}}, b"/", b"A: x")


def test_all_of_a_match_must_hold() -> None:
    match = {"host": "a.example", "path_prefix": "/x", "methods": ["GET"], "headers": {"a": "1", "b": "2"}}
    both = (b"A: 1", b"B: 2")
    assert takes(match, b"/x", *both)
    assert not takes(match, b"/x", *both, host=b"b")
    assert not takes(match, b"/y", *both)
    assert not takes(match, b"/x", *both, method=b"PUT")
    assert not takes(match, b"/x", b"A: 1")


def test_the_first_route_that_matches_is_taken() -> None:
    router = routing({"path_prefix": "/a/b"}, {"path_prefix": "/a"}, {"host": "a.example"}, {"path_prefix": "/c"})
    assert taken(router, b"/a/b/c") == 0
    assert taken(router, b"/a/c") == 1
    assert taken(router, b"/c") == 2
    assert taken(router, b"/c", host=b"b") == 3
    assert taken(router, b"/d", host=b"b") == NO_ROUTE


def test_a_first_route_without_a_match_takes_all() -> None:
    router = routing({}, {"path_prefix": "/a"})
    assert taken(router, b"/a") == 0
    assert taken(router, b"*", method=b"OPTIONS") == 0


def test_a_configuration_without_routes_has_one() -> None:
    assert taken(routing(), b"/anything") == 0


def test_request_classes() -> None:
    classes = (
        {"route": "r1", "methods": ["POST"]},
        {"methods": ["POST"]},
        {"headers": {"x-cost": "high"}},
        {"route": "r0"},
    )
    router = routing({"path_prefix": "/a"}, {}, classes=classes)

    def class_of(route: int, method: bytes = b"GET", *headers: bytes) -> int:
        lines = [method + b" / HTTP/1.1", b"Host: a", *headers, b"", b""]
        head = b"\r\n".join(lines)
        return router.request_class(method, read_request(head, len(head), None).block, route)

    assert class_of(1, b"POST", b"X-Cost: high") == 1
    assert class_of(0, b"POST", b"X-Cost: high") == 2
    assert class_of(0, b"PUT", b"X-Cost: high") == 3
    assert class_of(0, b"PUT", b"X-Cost: low") == 4
    assert class_of(1, b"PUT", b"X-Cost: low") == 0


SEGMENTS = st.lists(
    st.binary(min_size=1, max_size=6).filter(lambda name: not set(name) & set(b"/\\;") and name not in (b".", b"..")),
    max_size=5,
)
DETOURS = st.sampled_from([[], [b""], [b"."], [b"%2e"], [b".", b"", b"%2E"], [b";a"], [b".;", b"%2e%3ba"]])
PARAMETERS = st.sampled_from([b"", b"", b";", b";a=b", b"%3bc;..", b";%5e"])


@steady
@given(SEGMENTS, st.booleans(), st.data())
def test_every_spelling_of_a_path_is_the_same_path(segments: list[bytes], slash: bool, data: st.DataObject) -> None:
    spelled = b""
    for segment in segments:
        detour = data.draw(DETOURS)
        named = b"".join(
            b"%%%02x" % byte if data.draw(st.booleans()) else quote_from_bytes(bytes([byte])).encode()
            for byte in segment
        )
        slashes = st.sampled_from([b"/", b"/", b"/", b"\\", b"%5c", b"%2F"]) if spelled else st.just(b"/")
        spelled += b"".join(data.draw(slashes) + part for part in [*detour, named + data.draw(PARAMETERS)])
    path = b"/" + b"/".join(segments)
    ended = slash and bool(segments)
    assert canonical_path((spelled + b"/" * slash or b"/") + b"?a/../b") == path + b"/" * ended


@pytest.mark.parametrize("target", [b"/", b"/a", b"/a/", b"/a/b.c", b"*", b"/a..b/c..", b"/a:b,c=d"])
def test_plain_paths_are_themselves(target: bytes) -> None:
    assert canonical_path(target) == target


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a/.", b"/a/"),
        (b"//", b"/"),
        (b"/.a/..b", b"/.a/..b"),
        (b"/a/;b", b"/a/"),
        (b"/a/.;b?c", b"/a/"),
        (b"/;a", b"/"),
        (b"/a\\", b"/a/"),
        (b"/a;b=c/d;e/", b"/a/d/"),
    ],
)
def test_paths_that_end_in_dots(target: bytes, path: bytes) -> None:
    assert canonical_path(target) == path


CLIMBING = [
    b"/..",
    b"/a/..",
    b"/a/../b",
    b"/api/%2e%2E/x",
    b"/api/.%2e/x",
    b"/api/..%2fx",
    b"/x%2F..%2fapi?q",
    b"/%zz/../a",
    b"/x/..;/api",
    b"/x/..;a=b/api",
    b"/x/..%3Ba/api",
    b"/x\\..\\api",
    b"/x/..\\api",
    b"/x%5c..%5Capi",
    b"/a/..;",
]


@pytest.mark.parametrize("target", CLIMBING)
def test_paths_that_climb_are_refused(target: bytes) -> None:
    by_path, by_host = routing({"path_prefix": "/api"}, {}), routing({"host": "other.example"}, {})
    with pytest.raises(RequestRefused, match=r"the path has a \.\. segment"):
        taken(by_path, target)
    assert taken(by_host, target) == 1, "which no route could take for another path"
    assert taken(routing({}, {"path_prefix": "/api"}), target) == 0

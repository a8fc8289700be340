"""The tree finds the same route as a walk over all of them, one after the other."""

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.config.model import Config
from smartlb.core.record import NO_ROUTE
from smartlb.routing.host import host_name
from smartlb.routing.path import canonical_path
from smartlb.routing.routing import Routing
from smartlb.wire.http1 import read_request

Match = dict[str, Any]

LABELS = st.sampled_from(["a", "b", "com"])
HOSTS = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
SEGMENTS = st.sampled_from(["a", "b", "ab", "é"])
PREFIXES = st.tuples(st.lists(SEGMENTS, max_size=3).map("/".join), st.sampled_from(["", "/"])).map(
    lambda parts: "/" + parts[0] + parts[1] * bool(parts[0])
)
REGEXES = st.sampled_from(
    [
        ".*",
        "/a",
        "/a/",
        "/a/b.*",
        "/a/b?",
        "/(a|b)/a.*",
        "/a|/b/a",
        "(?i)/A/.*",
        "/[ab]+",
        "/ab/.*",
        r"\*",
        "/a/b*/a",
        "x?.*",
    ]
)
PATHS: st.SearchStrategy[dict[str, str]] = st.one_of(
    st.just({}), PREFIXES.map(lambda prefix: {"path_prefix": prefix}), REGEXES.map(lambda regex: {"path_regex": regex})
)
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "host": st.one_of(HOSTS, HOSTS.map("*.{}".format)),
        "methods": st.sampled_from([["GET"], ["POST", "PUT"]]),
        "headers": st.sampled_from([{"x-a": "1"}, {"x-a": "2", "x-b": "1"}]),
    },
)
MATCHES = st.tuples(PATHS, OTHERS).map(lambda parts: {**parts[0], **parts[1]})
TARGETS = st.one_of(
    st.just(b"*"),
    st.tuples(st.lists(st.sampled_from([b"a", b"b", b"ab", b"%C3%A9", b"A", b"b;c"]), max_size=4), st.booleans()).map(
        lambda parts: b"/" + b"/".join(parts[0]) + b"/" * (parts[1] and bool(parts[0]))
    ),
)
ASKED = st.tuples(
    st.one_of(HOSTS, st.sampled_from([".com", "a.com.", "com:80", "a..com", "", ".", "[::1]:80"])),
    TARGETS,
    st.sampled_from([b"GET", b"POST"]),
    st.sampled_from([b"", b"X-A: 1\r\n", b"x-b: 1\r\nx-a: 2\r\n"]),
)


def walk(matches: list[Match], method: bytes, target: bytes, host: bytes, headers: bytes) -> int:
    path = canonical_path(target)
    for number, match in enumerate(matches):
        asked = match.get("host")
        if asked is not None and not (
            host.endswith(asked[1:].encode()) if asked[:1] == "*" else host == asked.encode()
        ):
            continue
        prefix = match.get("path_prefix", "").rstrip("/").encode()
        if prefix and path != prefix and not path.startswith(prefix + b"/"):
            continue
        if "path_regex" in match and not re.fullmatch(match["path_regex"].encode(), path, re.DOTALL):
            continue
        if "methods" in match and method.decode() not in match["methods"]:
            continue
        lines = headers.lower().split(b"\r\n")
        if all(f"{name}: {value}".encode() in lines for name, value in match.get("headers", {}).items()):
            return number
    return NO_ROUTE


@settings(deadline=None, derandomize=True, max_examples=500)
@given(st.lists(MATCHES, min_size=1, max_size=30), st.lists(ASKED, min_size=1, max_size=10))
def test_the_same_route_as_a_walk_finds(matches: list[Match], asked: list[tuple[str, bytes, bytes, bytes]]) -> None:
    routing = Routing(
        Config.model_validate(
            {
                "listeners": [{"bind": "127.0.0.1:0"}],
                "pools": {"web": {"backends": ["127.0.0.1:1"]}},
                "workers": 1,
                "routes": [{"name": f"r{at}", "match": match, "pool": "web"} for at, match in enumerate(matches)],
            }
        )
    )
    for host, target, method, headers in asked:
        if target == b"*":
            method = b"OPTIONS"
        head = b"%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (method, target, host.encode(), headers)
        request = read_request(head, len(head), None)
        method, target, block = request.method, request.target, request.block
        assert routing.route(method, target, block) == walk(matches, method, target, host_name(block.host), headers)

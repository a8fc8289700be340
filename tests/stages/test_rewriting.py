"""What holds for every rewritten path and every edited head."""

from hypothesis import assume, example, given
from hypothesis import strategies as st

from smartlb.routing.path import canonical_path
from smartlb.stages.headers import HeaderEdits
from smartlb.stages.rewrite import PrefixRewrite
from smartlb.wire.http1 import read_request

_SEGMENTS = [
    "api",
    "%61pi",
    "a",
    "a%20b",
    "",
    ".",
    "%2e",
    "%2f",
    ".%2f",
    "%252e%252e",
    "%zz",
    "a;b=c",
    ";a",
    "%3Ba",
    ".;a",
    "a\\b",
    "%5c",
]
_PATHS = st.lists(st.sampled_from(_SEGMENTS), min_size=1, max_size=8).map(lambda parts: "/" + "/".join(parts))


@given(path=_PATHS, prefix=st.sampled_from(["/api", "/api/", "/"]), new=st.sampled_from(["/new", "/new/x/", "/"]))
@example(path="/api/a%2f.%2f.", prefix="/", new="/new")
def test_a_rewritten_path_is_the_same_one_below_the_new_prefix(path: str, prefix: str, new: str) -> None:
    old = prefix.rstrip("/").encode()
    canonical = canonical_path(path.encode())
    assume(canonical == old or canonical.startswith(old + b"/"))
    sent = PrefixRewrite(prefix, new).target(path.encode() + b"?q=/../x")
    path_sent, _, query = sent.partition(b"?")
    assert query == b"q=/../x"
    assert canonical_path(path_sent) == (new.rstrip("/").encode() + canonical[len(old) :] or b"/")
    head = b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % sent
    read_request(head, len(head), None)


def test_edits_keep_the_first_line_the_rest_and_the_end() -> None:
    edits = HeaderEdits({"a-b": "1", "c": "é"}, ["D"])
    head = b"HTTP/1.1 200 OK\r\nA_B: 0\r\nd: x\r\nkept:  as it is \r\nA-b: 2\r\n"
    assert edits.apply(head) == b"HTTP/1.1 200 OK\r\na-b: 1\r\nc: \xe9\r\nkept:  as it is \r\n"
    assert edits.apply(b"\r\nd: x\r\nx-request-id: ") == b"\r\na-b: 1\r\nc: \xe9\r\nx-request-id: "
    assert not HeaderEdits({}, [])

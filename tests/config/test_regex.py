"""Regular expressions of a configuration: what is refused, and that none takes long."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.config.regex import LinearRegex


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("/(?!admin).*", "there is no look-around; let a route before this one have what it leaves out"),
        ("/.*(?<=x)", "there is no look-around"),
        (r"/(a|b)/\1", "there are no references to groups; write out the alternatives"),
        ("/(?P<x>a)/(?P=x)", "there are no references to groups"),
        ("/a++", "nothing goes back"),
        ("/(?>a*)", "nothing goes back"),
        ("/a(?#b)", "there are no comments"),
        (r"/a\Z", r"the end is $ or \z"),
        ("/a{,3}", r"{ repeats by {n}, {n,} or {n,m} alone; write \{ for a brace"),
        ("/a{9999999}", "{ repeats by"),
        ("/a{1001}", "invalid repetition size"),
        ("/((a{100}){100}){100}", "invalid repetition size"),
        ("/.{1000}.{1000}", "it is too large; repeat less, or use several routes"),
        ("/(a", "missing )"),
        ("[", "missing ]"),
    ],
)
def test_what_cannot_be_matched_in_linear_time_is_refused(pattern: str, advice: str) -> None:
    with pytest.raises(ValueError) as raised:
        LinearRegex(pattern)
    assert str(raised.value).startswith("expected a regular expression (")
    assert advice in str(raised.value)


@pytest.mark.parametrize(
    "pattern", ["/a{2}", "/a{2,}", "/a{0,3}", r"/a\{b", r"/\x{41}", "/[a-c]+(b|c)?", "(?i)/A", r"/\\1"]
)
def test_what_can_is_not(pattern: str) -> None:
    LinearRegex(pattern)


def test_every_byte_is_a_character() -> None:
    assert LinearRegex("/admin/.*").matches(b"/admin/\xff\n\x00\xc3")
    assert LinearRegex("/é").matches("/é".encode())
    assert not LinearRegex("/a").matches(b"/ab")
    assert LinearRegex("/a").found_in(b"x/ab")


@settings(deadline=None, derandomize=True, max_examples=500)
@given(
    st.lists(
        st.sampled_from(["/", "a", "b", "(a|b)", "[ab]", "a?", "a*", "b+", "|", ".", "(?i)", "(a/b|a/c)", "c{2}"]),
        max_size=8,
    ),
    st.lists(st.text("/abcAB", max_size=8), max_size=20),
)
def test_what_matches_begins_as_the_expression_says(parts: list[str], texts: list[str]) -> None:
    try:
        regex = LinearRegex("".join(parts))
    except ValueError:
        return
    for text in texts:
        if regex.matches(text.encode()):
            assert text.encode() == regex.start if regex.exact else text.encode().startswith(regex.start)


def test_no_expression_holds_up_a_worker() -> None:
    program = """
from smartlb.config.regex import LinearRegex
for pattern in ["/(a*)*b", "/(a|a)*b", "/(a|aa)+b", "/(.*)(.*)(.*)(.*)x", "/(.*a.{20})*x"]:
    regex = LinearRegex(pattern)
    assert not regex.matches(b"/" + b"a" * 30_000)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True)
    assert not done.stdout + done.stderr, "and it logs nothing"

"""Regular expressions of the configuration, which are matched in linear time whatever they are and whatever they meet.

`re` goes back and forth, so that one expression such as ``(a*)*b`` and one URL could hold up a worker for hours. RE2
(R. Cox, Regular Expression Matching in the Wild, 2010) reads a text once, and has a bound for its memory. It has
neither look-around nor references to groups, which cannot be matched so.
"""

import re

import re2

_MOST_INSTRUCTIONS = 2_000
"""Of a compiled expression; 200 words of ten letters have as many. Each takes at most 6 ns for each byte of a path,
0.35 s in all for a path of 32 KB, but only expressions such as ``.*a.{1000}`` come near that."""

_MOST_BYTES = 2**20
"""Of memory for one expression, states of its automaton included; when it is used up, RE2 begins with new ones."""

_INSTEAD = (
    (("(?=", "(?!", "(?<=", "(?<!"), "there is no look-around; let a route before this one have what it leaves out"),
    (("(?P=", "(?("), "there are no references to groups; write out the alternatives"),
    (("(?>", "++", "*+", "?+", "}+"), "nothing goes back, so write groups as (?:...) and repeat by + * ? alone"),
    (("(?#", "(?x", "(?a", "(?u", "(?L"), "there are no comments, and no flags but i, m, s and U"),
)
"""What RE2 does not have, each with what to write; of several that an expression has, the first is named."""

_ESCAPES = {
    **dict.fromkeys("123456789", "there are no references to groups; write out the alternatives"),
    **dict.fromkeys("uUN", "write the character itself"),
    "Z": "the end is $ or \\z",
}
"""Likewise, for what follows a backslash."""

_ESCAPED = re.compile(r"\\(?:[pPx]\{[^}]*\}|.)", re.DOTALL)
_STRAY_BRACE = re.compile(r"\{(?![0-9]{1,4}(?:,[0-9]{0,4})?\})")
"""A brace that RE2 takes for itself where other engines repeat."""


class LinearRegex:
    """A regular expression, for bytes.

    Every byte is a character, and the dot takes them all, line ends and invalid UTF-8 included: nothing that a client
    can send gets around an expression.

    Args:
        pattern: in RE2's syntax, https://github.com/google/re2/wiki/Syntax.

    Attributes:
        start: what every text that matches whole begins with.
        exact: whether such a text is `start` and no more.

    Raises:
        ValueError: it is none that RE2 takes, or too large; the message says what is wrong and what to write.
    """

    __slots__ = ("_expression", "exact", "start")

    def __init__(self, pattern: str) -> None:
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.dot_nl = True
        options.never_capture = True  # only whether it matches is asked, which takes half the time
        options.max_mem = _MOST_BYTES
        options.log_errors = False  # they are in the message, and memory that is used up is no error
        plain = _ESCAPED.sub("", pattern)
        if _STRAY_BRACE.search(plain):
            raise ValueError(
                "expected a regular expression ({ repeats by {n}, {n,} or {n,m} alone; write \\{ for a brace)"
            )
        try:
            self._expression = re2.compile(pattern.encode(), options)
        except re2.error as error:
            raise ValueError(f"expected a regular expression ({_advice(plain, error)})") from None
        if self._expression.programsize > _MOST_INSTRUCTIONS:
            raise ValueError("expected a regular expression (it is too large; repeat less, or use several routes)")
        self.start, self.exact = _start(self._expression)

    def matches(self, text: bytes) -> bool:
        """Whether a text matches from end to end."""
        return self._expression.fullmatch(text) is not None

    def found_in(self, text: bytes) -> bool:
        """Whether a part of a text matches."""
        return self._expression.search(text) is not None


def _advice(plain: str, error: Exception) -> str:
    reason = error.args[0].decode(errors="replace") if error.args else ""
    advice = next((advice for parts, advice in _INSTEAD if any(part in plain for part in parts)), "")
    if reason.startswith("invalid escape sequence"):
        advice = _ESCAPES.get(reason[-1], "")
    return f"{reason}; {advice}" if advice else reason


def _start(expression: "re2._Regexp") -> tuple[bytes, bool]:
    """What all texts that match whole begin with: what the ends of RE2's range for them have in common."""
    try:
        low, high = expression.possiblematchrange(64)
    except re2.error:
        return b"", False  # there is no such range, as for .*
    if low == high:
        return low, True
    common = 0
    while common < min(len(low), len(high)) and low[common] == high[common]:
        common += 1
    return low[:common], False

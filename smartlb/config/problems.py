"""What can be wrong with a configuration file, said so that its author finds and mends it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

Location = tuple[str | int, ...]
"""The keys and list positions that lead from the file's top to a value."""


def spell(location: Location) -> str:
    """A location as people write it, such as ``pools.web.backends[0].address``; empty for the whole file."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            plain = step if step.replace("_", "").replace("-", "").isalnum() else repr(step)
            text += f".{plain}" if text else plain
    return text


def shown(value: object) -> str:
    """A value from the file as an error message cites it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case int() | float():
            text = str(value)
            return f"the number {text if len(text) <= 40 else text[:40] + '...'}"
        case str():
            return repr(value if len(value) <= 80 else value[:80] + "...")
        case list():
            return "a list" if value else "an empty list"
        case dict():
            return "a mapping" if value else "an empty mapping"
        case _:
            return repr(value)


def unknown_name(what: str, value: str, names: Iterable[str]) -> str:
    """Says that no `what` is called `value`, which one may be meant, and which there are."""
    known = sorted(names)
    if not known:
        return f"{what} {value!r} unknown; there are none"
    near = get_close_matches(value, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"{what} {value!r} unknown{hint} (one of: {', '.join(known)})"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        place: the key it concerns, as `spell` writes it; empty for the file as a whole.
        message: which value was found and what was expected.
        line: in the file, from 1; None where the file could not be read.
        column: in the line, from 1; None likewise.
    """

    place: str
    message: str
    line: int | None = None
    column: int | None = None


class ConfigError(Exception):
    """A configuration that cannot be used.

    Attributes:
        source: the file's name.
        problems: everything that is wrong with it, in the order of the file.
    """

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        super().__init__(source, problems)
        self.source = source
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self._line(problem) for problem in self.problems)

    def _line(self, problem: Problem) -> str:
        position = [str(number) for number in (problem.line, problem.column) if number is not None]
        where = ":".join([self.source, *position])
        return ": ".join(part for part in (where, problem.place, problem.message) if part)

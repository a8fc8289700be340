"""From a YAML file to a `Config`, or to everything that is wrong with it at once."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from smartlb.config.document import Document
from smartlb.config.model import Config
from smartlb.config.problems import ConfigError, Location, Problem, shown, spell
from smartlb.config.references import contradictions
from smartlb.config.shape import plain
from smartlb.config.wording import sentence

M = TypeVar("M", bound=BaseModel)

Contradictions = Callable[[Any], Iterator[tuple[Location, str]]]
"""Finds what the parts of a file say against each other, and where."""


def load(path: str | Path) -> Config:
    """The configuration in a file.

    Raises:
        ConfigError: the file cannot be read or is not a valid configuration.
    """
    return parse(read(path), str(path))


def parse(text: str, source_name: str) -> Config:
    """The configuration that `text` holds.

    Args:
        text: YAML.
        source_name: what errors call it, as a rule the file's name.

    Raises:
        ConfigError: the text is not a valid configuration.
    """
    return validated(Config, text, source_name, against_itself=contradictions)


def read(path: str | Path) -> str:
    """A file's text.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror}")]) from None
    try:
        return contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        column = error.start - contents.rfind(b"\n", 0, error.start)
        message = f"the byte 0x{contents[error.start]:02X} is not UTF-8; save the file in that encoding"
        raise ConfigError(str(path), [Problem("", message, line, column)]) from None


def validated(
    model: type[M],
    text: str,
    source_name: str,
    changes: Mapping[str, str] | None = None,
    against_itself: Contradictions = lambda _data: iter(()),
) -> M:
    """What `text` holds, as a model.

    Args:
        model: of the whole file.
        text: YAML.
        source_name: what errors call it, as a rule the file's name.
        changes: values that replace the file's, in YAML, by dotted key such as ``load.rate`` or ``fleet.0.cores``.
        against_itself: finds further problems.

    Raises:
        ConfigError: the text is not what the model says.
    """
    document = Document(text, source_name)
    found, problems = None, list(document.problems)
    if isinstance(document.data, dict):
        changed = {_change(document.data, key, value): f"--set {key}={value}" for key, value in (changes or {}).items()}
        try:
            found = model.model_validate(document.data)
        except ValidationError as invalid:
            problems += _objections(document, model, invalid, changed)
        for location, message in against_itself(document.data):
            problems.append(Problem(spell(location), message, *document.position(location)))
    elif not problems:
        holds = "the file is empty" if document.data is None else f"found {shown(document.data)}"
        required = " and ".join(f"`{name}`" for name, field in model.model_fields.items() if field.is_required())
        problems.append(Problem("", f"expected a mapping with {required}; {holds}", 1, 1))
    if found is None or problems:
        raise ConfigError(source_name, sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0)))
    return found


def _change(data: Any, key: str, text: str) -> Location:
    """Change a value; returns where it is."""
    location: list[str | int] = []
    source = f"--set {key}={text}"
    value = Document(text, source).data
    *outer, last = key.split(".")
    for step in outer:
        if isinstance(data, dict):
            data = data.setdefault(step, {})
            location.append(step)
        elif isinstance(data, list) and step.isdecimal() and int(step) < len(data):
            data = data[int(step)]
            location.append(int(step))
        else:
            raise ConfigError(source, [Problem("", f"there is no {step!r} in {shown(data)}, so nothing to change")])
    if isinstance(data, list) and last.isdecimal() and int(last) < len(data):
        data[int(last)] = value
        return (*location, int(last))
    if isinstance(data, dict):
        data[last] = value
        return (*location, last)
    raise ConfigError(source, [Problem("", f"there is no {last!r} in {shown(data)}, so nothing to change")])


def _objections(
    document: Document, model: type[BaseModel], invalid: ValidationError, changed: Mapping[Location, str]
) -> Iterator[Problem]:
    for error in invalid.errors(include_url=False):
        found = plain(model, error["loc"])
        by = next((by for where, by in changed.items() if found[: len(where)] == where), None)
        if by is not None:
            yield Problem(spell(found), f"{sentence(error, model, document.data)} (by {by})")
            continue
        location, of_key = _located(document, found, error)
        if any(location[:length] in document.unusable for length in range(len(location) + 1)):
            continue
        position = document.key_position(location) if of_key else document.position(location)
        yield Problem(spell(location), sentence(error, model, document.data), *position)


def _located(document: Document, location: Location, error: ErrorDetails) -> tuple[Location, bool]:
    """Where the file has what an error is about, and whether it is about the key rather than the value."""
    if error["type"] in ("extra_forbidden", "missing"):
        return location, error["type"] == "extra_forbidden"
    if document.has(location) or not location:
        return location, False
    # A key that is wrong itself, or the field that a shorthand stands for.
    return location[:-1], location[-1] == "[key]"

"""From a YAML file to a `Config`, or to everything that is wrong with it at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from smartlb.config.document import Document
from smartlb.config.model import Config
from smartlb.config.problems import ConfigError, Location, Problem, shown, spell
from smartlb.config.references import contradictions
from smartlb.config.wording import sentence


def load(path: str | Path) -> Config:
    """The configuration in a file.

    Raises:
        ConfigError: the file cannot be read or is not a valid configuration.
    """
    try:
        contents = Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(str(path), [Problem("", f"cannot be read: {error.strerror}")]) from None
    try:
        text = contents.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = contents.count(b"\n", 0, error.start) + 1
        column = error.start - contents.rfind(b"\n", 0, error.start)
        message = f"the byte 0x{contents[error.start]:02X} is not UTF-8; save the file in that encoding"
        raise ConfigError(str(path), [Problem("", message, line, column)]) from None
    return parse(text, str(path))


def parse(text: str, source_name: str) -> Config:
    """The configuration that `text` holds.

    Args:
        text: YAML.
        source_name: what errors call it, as a rule the file's name.

    Raises:
        ConfigError: the text is not a valid configuration.
    """
    document = Document(text, source_name)
    config, problems = None, list(document.problems)
    if isinstance(document.data, dict):
        try:
            config = Config.model_validate(document.data)
        except ValidationError as invalid:
            problems += _objections(document, invalid)
        for location, message in contradictions(document.data):
            problems.append(Problem(spell(location), message, *document.position(location)))
    elif not problems:
        found = "the file is empty" if document.data is None else f"found {shown(document.data)}"
        problems.append(Problem("", f"expected a mapping with `listeners` and `pools`; {found}", 1, 1))
    if config is None or problems:
        raise ConfigError(source_name, sorted(problems, key=lambda problem: (problem.line, problem.column)))
    return config


def _objections(document: Document, invalid: ValidationError) -> Iterator[Problem]:
    for error in invalid.errors(include_url=False):
        location, of_key = _located(document, error)
        if any(location[:length] in document.unusable for length in range(len(location) + 1)):
            continue
        position = document.key_position(location) if of_key else document.position(location)
        yield Problem(spell(location), sentence(error, document.data), *position)


def _located(document: Document, error: ErrorDetails) -> tuple[Location, bool]:
    """Where the file has what an error is about, and whether it is about the key rather than the value."""
    location: Any = error["loc"]
    if error["type"] in ("extra_forbidden", "missing"):
        return location, error["type"] == "extra_forbidden"
    if document.has(location):
        return location, False
    # A key that is wrong itself, or the field that a shorthand stands for.
    return location[:-1], location[-1] == "[key]"

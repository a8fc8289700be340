"""Whatever a file holds, loading ends with a configuration or a ConfigError that points into the file."""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.config.load import parse
from smartlb.config.model import Config
from smartlb.config.problems import ConfigError
from smartlb.config.schema import json_schema

FULL = yaml.safe_load((Path(__file__).parents[2] / "examples" / "full.yaml").read_text())

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""What YAML counts as the end of a line."""


def properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from properties(inner)


KEYS = sorted(set(properties(json_schema()["$defs"])) | set(json_schema()["properties"]))

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.binary(max_size=4),
    st.text(max_size=8),
    st.sampled_from(["learned", "127.0.0.1:80", "web", "all", "GET", "/", "200-399", "auto", "default"]),
)
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=4), st.integers(), st.booleans(), st.none())
junk = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)
files = st.fixed_dictionaries({}, optional=dict.fromkeys(json_schema()["properties"], junk))


def locations(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of a tree with each of its keys or positions."""
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from locations(value[key])


def holds(text: str) -> None:
    """What must be true of every text."""
    try:
        config = parse(text, "f.yaml")
    except ConfigError as error:
        problems = error.problems
    else:
        assert Config.model_validate_json(config.model_dump_json()) == config
        return
    assert problems
    lines = len(LINE_BREAK.split(text))
    for problem in problems:
        assert problem.line is not None
        assert 1 <= problem.line <= lines
        assert problem.column is not None
        assert problem.column >= 1
        assert not re.search("Input should|Extra inputs|Value error|something else|\n", problem.message)
        assert "\n" not in problem.place


@settings(deadline=None, max_examples=100)
@given(junk)
def test_any_value(value: Any) -> None:
    holds(yaml.safe_dump(value))


@settings(deadline=None, max_examples=100)
@given(files)
def test_any_sections(value: Any) -> None:
    holds(yaml.safe_dump(value))


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_good_file_with_a_bad_value(data: st.DataObject) -> None:
    tree = copy.deepcopy(FULL)
    container, key = data.draw(st.sampled_from(list(locations(tree))))
    container[key] = data.draw(junk)
    holds(yaml.safe_dump(tree))


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_a_good_file_with_a_strange_key(data: st.DataObject) -> None:
    tree = copy.deepcopy(FULL)
    mappings = [tree, *(c[k] for c, k in locations(tree) if isinstance(c[k], dict))]
    data.draw(st.sampled_from(mappings))[data.draw(keys)] = data.draw(junk)
    holds(yaml.safe_dump(tree))


@settings(deadline=None, max_examples=200)
@given(st.text(st.sampled_from("ab01:-?,[]{}&*!|>'\"%@#.<=~\\uUx \t\n\r\ufeff\u2028é"), max_size=40))
def test_any_text(text: str) -> None:
    holds(text)

import pickle

import pytest

from smartlb.config.problems import ConfigError, Problem, shown, spell, unknown_name


def test_spell() -> None:
    assert spell(()) == ""
    assert spell(("pools", "web-1", "backends", 0, "address")) == "pools.web-1.backends[0].address"
    assert spell(("pools", "a b", "queue")) == "pools.'a b'.queue"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("lest_time", "policy 'lest_time' unknown; did you mean 'least_time'? (one of: learned, least_time)"),
        ("xyz", "policy 'xyz' unknown (one of: learned, least_time)"),
    ],
)
def test_unknown_name(value: str, expected: str) -> None:
    assert unknown_name("policy", value, ["least_time", "learned"]) == expected


def test_unknown_name_where_there_are_none() -> None:
    assert unknown_name("pool", "a", []) == "pool 'a' unknown; there are none"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "nothing"),
        (True, "true"),
        (1, "the number 1"),
        (0.5, "the number 0.5"),
        (10**50, f"the number 1{'0' * 39}..."),
        ("a", "'a'"),
        ("a" * 100, f"'{'a' * 80}...'"),
        ([], "an empty list"),
        ([1], "a list"),
        ({}, "an empty mapping"),
        ({"a": 1}, "a mapping"),
    ],
)
def test_shown(value: object, expected: str) -> None:
    assert shown(value) == expected


def test_error_has_a_line_for_each_problem() -> None:
    error = ConfigError(
        "f.yaml", [Problem("a.b", "is wrong", 3, 5), Problem("", "is empty", 1, 1), Problem("", "gone")]
    )
    assert str(error) == "f.yaml:3:5: a.b: is wrong\nf.yaml:1:1: is empty\nf.yaml: gone"


def test_error_can_go_between_processes() -> None:
    error = ConfigError("f.yaml", [Problem("a", "is wrong", 3, 5)])
    again = pickle.loads(pickle.dumps(error))
    assert (again.source, again.problems, str(again)) == (error.source, error.problems, str(error))

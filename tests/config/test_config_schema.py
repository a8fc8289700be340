import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from smartlb.config.load import parse
from smartlb.config.problems import ConfigError
from smartlb.config.reference import reference
from smartlb.config.schema import json_schema
from smartlb.learning.registry import DRIFT_DETECTORS, ERROR_MODELS, LATENCY_MODELS
from smartlb.policies.registry import POLICIES

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(json_schema())


def minimal(**settings: Any) -> dict[str, Any]:
    return {"listeners": [{"bind": "h:80"}], "pools": {"web": {"backends": ["a:1"], **settings}}}


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize("name", ["minimal.yaml", "full.yaml"])
def test_example_validates(name: str) -> None:
    data = yaml.safe_load((ROOT / "examples" / name).read_text())
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []


@pytest.mark.parametrize(
    "data",
    [
        minimal(),
        minimal(backends=[{"address": "a:1", "weight": 2}, "[::1]:80"]),
        *[minimal(policy=name) for name in POLICIES],
        *[minimal(policy={"name": name}) for name in POLICIES],
        minimal(policy={"name": "learned", "candidates": 3}),
        minimal(ejection=None, health_check={"expected_status": [200, "300-399"]}),
        {**minimal(), "workers": "auto"},
        {**minimal(), "workers": 3},
    ],
)
def test_schema_and_loading_agree_on_what_is_valid(data: dict[str, Any]) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(data)] == []
    parse(yaml.safe_dump(data), "f.yaml")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"listeners": [], "pools": {}},
        minimal(backends=[]),
        minimal(backends=["a"]),
        minimal(backends=[{"adress": "a:1"}]),
        minimal(policy="lerned"),
        minimal(policy={"name": "lerned"}),
        minimal(policy={"candidates": 3}),
        minimal(policy={"name": "learned", "candidates": 99}),
        minimal(policy={"name": "round_robin", "candidates": 3}),
        minimal(queue={"timeout_s": 0}),
        minimal(queue={"timeouts": 1}),
        minimal(health_check={"expected_status": [99]}),
        {**minimal(), "workers": "many"},
        {**minimal(), "workers": 0},
        {**minimal(), "learner": {"latency_model": "x"}},
        {**minimal(), "routes": [{"name": "a b", "pool": "web"}]},
        {**minimal(), "pools": {"a b": {"backends": ["a:1"]}}},
    ],
)
def test_schema_and_loading_agree_on_what_is_not(data: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(data)
    with pytest.raises(ConfigError):
        parse(yaml.safe_dump(data), "f.yaml")


def test_schema_completes_policies_with_their_options() -> None:
    name, *mappings = json_schema()["$defs"]["PolicyChoice"]["anyOf"]
    assert set(name["enum"]) == set(POLICIES)
    options = {entry["properties"]["name"]["const"]: set(entry["properties"]) for entry in mappings}
    assert options == {name: {"name", *policy.options.model_fields} for name, policy in POLICIES.items()}


def test_schemas_are_independent() -> None:
    first = json_schema()
    before = copy.deepcopy(first)
    json_schema()["$defs"].clear()
    assert first == json_schema() == before


def test_reference_on_disk_is_up_to_date() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    assert text == reference(), "run `python -m smartlb.config.reference > docs/configuration.md`"


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def test_reference_has_every_key_described() -> None:
    table = list(rows(reference()))
    schema = json_schema()
    sections = [schema, *(section for section in schema["$defs"].values() if "properties" in section)]
    assert {key for section in sections for key in section["properties"]} <= {row[0].strip("`") for row in table}
    assert [row for row in table if len(row) != 5 or not row[1] or not row[2] or not row[4]] == []


def test_reference_has_every_policy_and_model() -> None:
    text = reference()
    for name in POLICIES:
        assert f"### `{name}`\n\n" in text
    for name in (*LATENCY_MODELS, *ERROR_MODELS, *DRIFT_DETECTORS):
        assert f"`{name}`" in text

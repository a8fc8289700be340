from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from smartlb.config import model
from smartlb.config.load import load
from smartlb.config.model import Config, Section
from smartlb.policies.registry import POLICIES

EXAMPLES = Path(__file__).parents[2] / "examples"
FULL = EXAMPLES / "full.yaml"
MINIMAL = EXAMPLES / "minimal.yaml"


@pytest.mark.parametrize("path", [MINIMAL, FULL], ids=lambda path: path.name)
def test_example_loads_and_survives_the_way_to_the_workers(path: Path) -> None:
    config = load(path)
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_minimal_example_is_minimal() -> None:
    data = yaml.safe_load(MINIMAL.read_text())
    assert data.keys() == {"listeners", "pools"}
    assert [list(pool) for pool in data["pools"].values()] == [["backends"]]
    assert len(load(MINIMAL).pools["web"].backends) == 2


def keys_given(value: Any) -> Iterator[tuple[type, str]]:
    """Every key that was set in a configuration, with the section it belongs to."""
    if isinstance(value, BaseModel):
        for key in value.model_fields_set:
            yield type(value), key
            yield from keys_given(getattr(value, key))
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from keys_given(inner)


def test_full_example_has_every_key_of_every_section() -> None:
    given = set(keys_given(load(FULL)))
    sections = [
        entry
        for entry in vars(model).values()
        if isinstance(entry, type) and issubclass(entry, Section) and entry is not Section
    ]
    assert len(sections) > 10
    missing = [
        f"{section.__name__}.{key}"
        for section in sections
        for key in section.model_fields
        if (section, key) not in given
    ]
    assert missing == []


def test_full_example_names_every_policy_and_option() -> None:
    text = FULL.read_text()
    for name, policy in POLICIES.items():
        assert name in text
        for option in policy.options.model_fields:
            assert option in text

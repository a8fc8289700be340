"""docs/configuration.md, written from the schema and the policies, so that it cannot differ from them.

``python -m smartlb.config.reference > docs/configuration.md`` writes it anew.
"""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from smartlb.config.model import Config
from smartlb.config.schema import SchemaGenerator
from smartlb.policies import registry
from smartlb.policies.policy import Policy

Property = dict[str, Any]

_INTRODUCTION = """\
# Configuration

One YAML file holds the whole configuration. [examples/minimal.yaml](../examples/minimal.yaml) is the least
there can be, [examples/full.yaml](../examples/full.yaml) has every key. This page is made from the code, by
`python -m smartlb.config.reference > docs/configuration.md`.

The file is checked as a whole before any of it is used, and everything that is wrong is reported at once, by
line and column. Keys that are not listed here are errors, and so are keys that are there twice. Nothing is
converted: `"5"` is text and no number, and `true` is not 1.

Scalars are read as in YAML 1.2, so `on`, `no`, dates and `12:30` are text. Anchors and aliases work (`&name`,
`*name`); merge keys (`<<`), tags and environment variables do not.

A key's suffix is its unit: `_s` seconds, `_bytes` bytes, `_share` a share of 1. In section names, `[]` stands
for each item of a list and `NAME` for a name of your choice.
"""

_TABLE_HEAD = "| Key | Type | Default | Range | Description |\n|---|---|---|---|---|"

_SHORTHANDS = {"Backend": "text or mapping", "PolicyChoice": "name or mapping"}

_UNITS = {"_s": "seconds", "_bytes": "bytes", "_share": "share of 1"}

_TYPES = {"boolean": "true or false", "integer": "whole number", "number": "number", "string": "text"}

_BOUNDS = {
    "exclusiveMinimum": "above {}",
    "minimum": "at least {}",
    "exclusiveMaximum": "below {}",
    "maximum": "at most {}",
    "minItems": "at least {} item",
    "maxItems": "at most {} items",
    "minProperties": "at least {} entry",
    "minLength": "not empty",
}


def reference() -> str:
    """The text of docs/configuration.md."""
    parts = [
        _INTRODUCTION,
        *sections(Config),
        "## Policies\n",
        *(_policy(policy) for policy in registry.POLICIES.values()),
    ]
    return "\n".join(parts)


def _schema(model: type[BaseModel]) -> Property:
    return model.model_json_schema(schema_generator=SchemaGenerator)


def sections(model: type[BaseModel]) -> Iterator[str]:
    """A heading, what the section is, and its table, for every mapping of a file from the top down.

    A section that a file can have in several places stands where the first of them is.
    """
    schema = _schema(model)
    definitions = schema["$defs"]
    rest = [("", schema)]
    shown: set[str] = set()
    while rest:
        path, section = rest.pop(0)
        inner = []
        for key, entry in section["properties"].items():
            for steps, name in _targets(entry):
                if name != "PolicyChoice" and name not in shown:
                    shown.add(name)
                    inner.append((f"{path}.{key}{steps}".lstrip("."), definitions[name]))
        rest = inner + rest
        kind = section["properties"].get("kind", {}).get("const")
        heading = f"## `{path}`" if path else "## Top level"
        heading += f" of kind `{kind}`" if kind else ""
        yield f"{heading}\n\n{section['description']}\n\n{_table(section)}\n"


def _policy(policy: Policy) -> str:
    module = next(module for module in vars(registry).values() if getattr(module, "POLICY", None) is policy)
    summary = module.__doc__.partition("\n")[0].removeprefix(f"{policy.name}: ")
    options = _schema(policy.options)
    table = _table(options) if options["properties"] else "No options."
    return f"### `{policy.name}`\n\n{summary[:1].upper()}{summary[1:]}\n\n{table}\n"


def _table(section: Property) -> str:
    required = section.get("required", [])
    return "\n".join(
        (_TABLE_HEAD, *(_row(key, entry, key in required) for key, entry in section["properties"].items()))
    )


def _row(key: str, entry: Property, required: bool) -> str:
    default = "**required**" if required else _default(entry)
    unit = next((unit for suffix, unit in _UNITS.items() if key.endswith(suffix)), None)
    kind = f"{_type(entry)}, {unit}" if unit else _type(entry)
    cells = (f"`{key}`", kind, default, _range(entry), entry.get("description", ""))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _targets(entry: Property) -> Iterator[tuple[str, str]]:
    """The steps, ``[]`` or ``.NAME``, from an entry down to each section it may hold, and the section's name."""
    entry = _given(entry)
    if "$ref" in entry:
        yield "", entry["$ref"].rpartition("/")[2]
    for inner, step in (
        *((choice, "") for choice in entry.get("oneOf", [])),
        (entry.get("items"), "[]"),
        (_values(entry), ".NAME"),
    ):
        if inner is not None:
            for steps, name in _targets(inner):
                yield step + steps, name


def _given(entry: Property) -> Property:
    """What an entry is when it is not null."""
    choices = [choice for choice in entry.get("anyOf", []) if choice.get("type") != "null"]
    return choices[0] if len(choices) == 1 else entry


def _values(entry: Property) -> Property | None:
    """What a mapping's values are, whatever their keys."""
    patterns: dict[str, Property] = entry.get("patternProperties", {})
    return next(iter(patterns.values()), None)


def _type(entry: Property) -> str:
    if "anyOf" in entry:
        return " or ".join(_type(choice) for choice in entry["anyOf"])
    if "$ref" in entry:
        return _SHORTHANDS.get(entry["$ref"].rpartition("/")[2], "mapping")
    if "oneOf" in entry:
        return "mapping"
    if "const" in entry:
        return f"`{entry['const']}`"
    if entry["type"] == "array":
        return f"list of {_type(entry['items'])}"
    if entry["type"] == "object":
        return f"{_type(_values(entry) or {'type': 'string'})} by name"
    return _TYPES.get(entry["type"], f"`{entry['type']}`")


def _default(entry: Property) -> str:
    default = entry.get("default")
    if isinstance(default, dict) and default:
        return f"`{default['name']}`" if default.keys() == {"name"} else "as below"
    return f"`{default if isinstance(default, str) else _plain(default)}`"


def _plain(value: Any) -> str:
    return json.dumps(value).removesuffix(".0")


def _range(entry: Property) -> str:
    entry = _given(entry)
    parts = [words.format(_plain(entry[key])) for key, words in _BOUNDS.items() if key in entry]
    if "enum" in entry and "const" not in entry:
        parts.append("one of " + ", ".join(f"`{name}`" for name in entry["enum"]))
    if "patternErrorMessage" in entry:
        parts.append(entry["patternErrorMessage"].removeprefix("Expected ").removesuffix("."))
    else:
        parts += [_range(choice) for choice in entry.get("anyOf", [])]
    parts += [_range(inner) for inner in (entry.get("items"), _values(entry)) if inner is not None]
    return ", ".join(part for part in parts if part)


if __name__ == "__main__":
    print(reference(), end="")

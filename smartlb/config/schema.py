"""The configuration as a JSON schema, with which editors complete and check a file while it is written."""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from smartlb.config.model import Config
from smartlb.policies.policy import Policy
from smartlb.policies.registry import POLICIES

JsonSchema = dict[str, Any]


class SchemaGenerator(GenerateJsonSchema):
    """Pydantic's generator, without titles that repeat the keys, and strict about the keys of mappings."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ARG002
        """Never: a field's title would be its key in other letters."""
        return False

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        """A mapping, whose keys must all have the form that is asked of them."""
        return {**super().dict_schema(schema), "additionalProperties": False}


def json_schema() -> JsonSchema:
    """The schema of a configuration file, draft 2020-12; it takes the shorthands that `load` takes.

    What parts of a file say about each other is beyond a schema; only `load` checks that.
    """
    schema = Config.model_json_schema(schema_generator=SchemaGenerator)
    sections = schema["$defs"]
    backend = sections["Backend"]
    sections["Backend"] = {"anyOf": [backend["properties"]["address"], backend]}
    sections["PolicyChoice"] = {
        "description": sections["PolicyChoice"]["description"],
        "anyOf": [sections["PolicyChoice"]["properties"]["name"], *map(_policy_mapping, POLICIES.values())],
    }
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _policy_mapping(policy: Policy) -> JsonSchema:
    options = policy.options.model_json_schema(schema_generator=SchemaGenerator)
    return {
        "type": "object",
        "properties": {"name": {"const": policy.name}, **options["properties"]},
        "required": ["name", *options.get("required", [])],
        "additionalProperties": False,
    }

"""What the models object to, as plain sentences: what was expected, and what was found."""

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from smartlb.config.model import PolicyChoice
from smartlb.config.problems import Location, shown, unknown_name
from smartlb.config.shape import fields, model_at, plain
from smartlb.policies.registry import POLICIES

_KINDS = {
    "bool_type": "true or false",
    "dict_type": "a mapping",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list, each item after a dash",
    "model_type": "a mapping",
    "string_type": "text",
}

_BOUNDS = {
    "greater_than": ("gt", "a number above"),
    "greater_than_equal": ("ge", "a number of at least"),
    "less_than": ("lt", "a number below"),
    "less_than_equal": ("le", "a number of at most"),
}

_HEADERS = frozenset(("headers", "set_request_headers", "set_response_headers"))
"""Mappings of headers to their values."""


def sentence(error: ErrorDetails, model: type[BaseModel], data: Any) -> str:
    """What is wrong, in words for the file's author.

    Args:
        error: one of pydantic's, from validating `data` as a `model`.
        model: of the whole file.
        data: the whole file.
    """
    location, kind, found = error["loc"], error["type"], error["input"]
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        return unknown_name("key", str(location[-1]), _fields(model, location[:-1], data))
    if kind == "missing":
        description = _fields(model, location[:-1], data)[str(location[-1])].description or ""
        return f"required, but missing: {description}"
    if kind == "value_error":
        message = str(context["error"])
        return f"{message}; found {_cited(location, found)}" if message.startswith("expected") else message
    if kind == "union_tag_invalid":
        choices = [choice.strip(" '") for choice in context["expected_tags"].split(",")]
        return unknown_name(context["discriminator"].strip("'"), str(context["tag"]), choices)
    return f"expected {_expected(kind, context, error['msg'])}; found {_cited(location, found)}{_hint(kind, found)}"


def _cited(location: Location, found: object) -> str:
    """What was found; of a header's value only how long it is, as it may be a secret."""
    if isinstance(found, str) and location[-1] != "[key]" and not _HEADERS.isdisjoint(location[:-1]):
        return f"text of {len(found)} characters"
    return shown(found)


def _expected(kind: str, context: dict[str, Any], message: str) -> str:
    if kind in _KINDS:
        return _KINDS[kind]
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        return f"{words} {str(context[key]).removesuffix('.0')}"
    match kind:
        case "too_short":
            return f"at least {context['min_length']} item{'s' if context['min_length'] > 1 else ''}"
        case "too_long":
            return f"at most {context['max_length']} items"
        case "string_too_short":
            return "text that is not empty"
        case "union_tag_not_found":
            return f"`{str(context['discriminator']).strip(chr(39))}`, which says what it is"
        case "literal_error":
            return str(context["expected"])
        case _:  # None that the models have now; a new one is better said in pydantic's words than not at all.
            return f"something else ({message})"


def _hint(kind: str, found: object) -> str:
    if kind == "string_type" and isinstance(found, bool | int | float):
        return ", which is text when in quotes"
    if kind in ("int_type", "float_type") and isinstance(found, str):
        return ", which is text"
    return ""


def _fields(model: type[BaseModel], location: Location, data: Any) -> dict[str, FieldInfo]:
    """The keys that the mapping at `location` takes; for a policy, its options among them."""
    found = fields(model, location)
    if model_at(model, location) is PolicyChoice:
        for step in plain(model, location):
            data = data[step]
        if data.get("name") in POLICIES:
            return found | POLICIES[data["name"]].options.model_fields
    return found

"""What was learned, as data: JSON that says what is claimed of every backend, by name, and from how many requests.

A checkpoint holds no model. It holds examples that teach any model the same claims again, so it outlives a change of
river's insides, can be read by people, and runs nothing when it is loaded. Backends and classes go by their names:
those that a checkpoint does not know start cold, those that are gone are left out.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from smartlb.learning.cells import Latency

SCHEMA = 1
"""Of the file; raised when what is in it changes its meaning."""

_LONGEST_S = 86_400.0 * 32.0

Count = Annotated[float, Field(ge=0, le=1e12)]
InFlight = Annotated[float, Field(ge=0, le=1e9)]
LatencyS = Annotated[float, Field(gt=0, le=_LONGEST_S)]


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message says which value, what was expected, and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Example(_Part):
    """What a model claims, as requests that would teach it.

    Attributes:
        request_class: their class.
        in_flight: at their dispatch.
        latency_s: what they took.
        requests: how many.
    """

    request_class: str
    in_flight: InFlight
    latency_s: LatencyS
    requests: Count


class Outcomes(_Part):
    """Requests, and how many of them failed."""

    requests: Count
    failures: Count


class BackendMemory(_Part):
    """One backend. Weights and affinities are not kept: they follow from this within seconds.

    Attributes:
        latency: claims of the latency model.
        outcomes: claims of the error model, by request class.
    """

    latency: list[Example]
    outcomes: dict[str, Outcomes]


class PoolMemory(_Part):
    """One pool.

    Attributes:
        latency_s: usual latency.
        in_flight: usual number in flight at dispatch.
        successes: from how many requests these are known, older ones counting less.
        requests: recent ones by class, older ones counting less.
        backends: by name.
    """

    latency_s: LatencyS
    in_flight: InFlight
    successes: Count
    requests: dict[str, Count]
    backends: dict[str, BackendMemory]


class Checkpoint(_Part):
    """All that a learner knows.

    Attributes:
        smartlb, river: versions that it was written with.
        saved_unix_s: when, in seconds since 1970; None for a trained model, which has no age.
        latency: which latency was learned.
        latency_model, error_model: by their names in `smartlb.learning.registry`.
        classes: names of the request classes.
        pools: by name.
    """

    smartlb: str
    river: str
    saved_unix_s: Annotated[float, Field(ge=0)] | None
    latency: Latency
    latency_model: str
    error_model: str
    classes: list[str]
    pools: dict[str, PoolMemory]


@dataclass(frozen=True, slots=True)
class Names:
    """What a learner's numbers are called.

    Attributes:
        classes: by number.
        pools: for each of the learner's pools, in order, the names of its backends by position.
    """

    classes: Sequence[str]
    pools: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Recalled:
    """What came of a checkpoint.

    Attributes:
        known: backends that it knew, as ``pool/backend``.
        cold: those that it did not.
    """

    known: Sequence[str]
    cold: Sequence[str]


def to_dict(checkpoint: Checkpoint) -> dict[str, Any]:
    """As JSON's types, with a digest of the content."""
    content = checkpoint.model_dump()
    return {"schema": SCHEMA, "sha256": digest(content), "content": content}


def from_dict(data: Any) -> Checkpoint:
    """Read back what `to_dict` made.

    Raises:
        CheckpointError: it is something else, or was changed since.
    """
    if not isinstance(data, dict) or data.keys() != {"schema", "sha256", "content"}:
        _refuse("expected a mapping with `schema`, `sha256` and `content`, as smartlb writes it", "give another file")
    if data["schema"] != SCHEMA or isinstance(data["schema"], bool):
        _refuse(f"schema: expected {SCHEMA}; found {_cited(data['schema'])}", "make it anew with this version")
    try:
        found = digest(data["content"])
    except (ValueError, TypeError, RecursionError):
        _refuse("content: expected finite numbers, text, lists and mappings", "make it anew")
    if data["sha256"] != found:
        _refuse(
            f"sha256: expected {found}, the content's; found {_cited(data['sha256'])}",
            "the file was changed or damaged: restore it, or make it anew",
        )
    try:
        return Checkpoint.model_validate(data["content"])
    except ValidationError as invalid:
        error = invalid.errors(include_url=False)[0]
        place = ".".join(map(str, ("content", *error["loc"])))
        _refuse(f"{place}: {error['msg']}; found {_cited(error['input'])}", "make it anew with this version")


def to_text(checkpoint: Checkpoint) -> str:
    """As a file's content."""
    return json.dumps(to_dict(checkpoint), indent=1, allow_nan=False) + "\n"


def from_text(text: str | bytes) -> Checkpoint:
    """Read back what `to_text` made.

    Raises:
        CheckpointError: it is something else, or was changed since.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        _refuse(f"expected JSON; {error}", "the file was cut or is none of smartlb's: restore it, or make it anew")
    return from_dict(data)


def digest(content: Any) -> str:
    """SHA-256 over JSON in one order of keys and one spelling."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def check_fit(checkpoint: Checkpoint, names: Names, latency: str, latency_model: str, error_model: str) -> None:
    """See that a checkpoint says something of a learner with these names and settings.

    Raises:
        CheckpointError: it does not.
    """
    for key, mine in (("latency", latency), ("latency_model", latency_model), ("error_model", error_model)):
        if (theirs := getattr(checkpoint, key)) != mine:
            _refuse(
                f"{key}: expected {mine!r}, as the learner is set to; found {theirs!r}",
                f"set learner.{key} to {theirs!r}, or make the checkpoint anew",
            )
    if not set(checkpoint.classes) & set(names.classes):
        _none_known("classes", names.classes, checkpoint.classes)
    if not set(checkpoint.pools) & set(names.pools):
        _none_known("pools", list(names.pools), list(checkpoint.pools))
    wanted = [f"{pool}/{backend}" for pool, backends in names.pools.items() for backend in backends]
    found = [f"{pool}/{backend}" for pool, memory in checkpoint.pools.items() for backend in memory.backends]
    if not set(wanted) & set(found):
        _none_known("backends", wanted, found)


def _none_known(what: str, mine: Sequence[str], theirs: Sequence[str]) -> NoReturn:
    _refuse(
        f"{what}: expected at least one of {_listed(mine)}; found {_listed(theirs)}",
        "names must be those of the configuration: give the checkpoint of this fleet, or make one",
    )


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(map(repr, names[:5]))
    return f"{few} and {len(names) - 5} more" if len(names) > 5 else few or "none"


def _cited(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "..."


def _refuse(why: str, do: str) -> NoReturn:
    raise CheckpointError(f"{why} ({do})")

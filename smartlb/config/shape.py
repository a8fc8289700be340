"""Where a location leads in a model: pydantic's locations name the choices that it made, a file's do not."""

from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo

from smartlb.config.problems import Location


def plain(model: type[BaseModel], location: Location) -> Location:
    """A location of pydantic's without the choices among a union's members, as the file has it."""
    steps, kind = [], model
    for step in location:
        chosen = _member(kind, step)
        if chosen is None:
            steps.append(step)
            kind = _inner(kind, step)
        else:
            kind = chosen
    return tuple(steps)


def fields(model: type[BaseModel], location: Location) -> dict[str, FieldInfo]:
    """The keys that the mapping at a location of pydantic's takes; empty where there is none."""
    kind = model_at(model, location)
    return kind.model_fields if kind is not None else {}


def model_at(model: type[BaseModel], location: Location) -> type[BaseModel] | None:
    """The model of the mapping at a location of pydantic's."""
    kind: Any = model
    for step in location:
        kind = _member(kind, step) or _inner(kind, step)
    kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _bare(kind: Any) -> Any:
    """`X` for ``Annotated[X, ...]`` and for ``X | None``."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            given = [choice for choice in get_args(kind) if choice is not type(None)]
            if len(given) > 1:
                return kind
            kind = given[0]
        else:
            return kind


def _member(kind: Any, step: str | int) -> Any:
    """The member of a union that a step of pydantic's chooses; None where it chooses none."""
    kind = _bare(kind)
    if get_origin(kind) not in (Union, UnionType):
        return None
    for choice in get_args(kind):
        model = _bare(choice)
        if isinstance(model, type) and issubclass(model, BaseModel) and step in (model.__name__, *_tags(choice, model)):
            return model
    return None


def _tags(choice: Any, model: type[BaseModel]) -> list[Any]:
    """By what the choice of a member is named: pydantic's `Tag`, or the values of the member's `kind`."""
    given = [part.tag for part in get_args(choice)[1:] if isinstance(part, Tag)]
    kind = model.model_fields.get("kind")
    return [*given, *get_args(kind.annotation)] if kind and get_origin(kind.annotation) is Literal else given


def _inner(kind: Any, step: str | int) -> Any:
    """What a key or list position leads to."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(step))
        return field.annotation if field is not None else None
    arguments = get_args(kind)
    return arguments[-1] if arguments else None

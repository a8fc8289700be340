"""Traces with named columns: how the columns are called, and in which units they are."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import Field

from smartlb.config.model import Section

PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
"""Units of time."""


class Columns(Section):
    """Names of a trace's columns; one that is not given is looked for under the name it has here."""

    at: str | None = Field(default=None, description="When the request came; the one column that must be there.")
    request_class: str | None = Field(default=None, description="Which kind of request it is.")
    duration: str | None = Field(default=None, description="How long it took.")
    request_bytes: str | None = Field(default=None, description="Size of the request.")
    response_bytes: str | None = Field(default=None, description="Size of the response.")
    input_tokens: str | None = Field(default=None, description="Tokens read.")
    output_tokens: str | None = Field(default=None, description="Tokens generated.")
    client: str | None = Field(default=None, description="Who asked.")
    target: str | None = Field(default=None, description="What was asked for.")


class Table(Section):
    """Columns and units of a trace in format csv or parquet."""

    columns: Columns = Field(default=Columns(), description="What the trace's columns are called.")
    at_unit: Literal["s", "ms", "us", "ns", "iso"] = Field(
        default="s", description="Unit of column `at`; iso for dates such as 2023-11-16T18:15:46.68, in UTC."
    )
    duration_unit: Literal["s", "ms", "us", "ns"] = Field(default="s", description="Unit of column `duration`.")

    def found(self, header: Sequence[str]) -> "Found":
        """Which of a trace's columns holds what.

        Raises:
            LookupError: a column that was asked for, or `at`, is not there.
        """
        position = {name: index for index, name in enumerate(header)}
        places: dict[str, int | None] = {}
        for field, name in self.columns:
            if name is None and field != "at":
                places[field] = position.get(field)
            elif (name or field) in position:
                places[field] = position[name or field]
            else:
                names = ", ".join(header[:20])
                raise LookupError(
                    f"no column {name or field!r} for `columns: {field}`; the trace has the columns {names}"
                )
        return Found(**places)


class Found(NamedTuple):
    """Positions of a trace's columns, of those that it has."""

    at: int | None
    request_class: int | None
    duration: int | None
    request_bytes: int | None
    response_bytes: int | None
    input_tokens: int | None
    output_tokens: int | None
    client: int | None
    target: int | None

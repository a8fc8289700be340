"""Speeds of machines that were measured: a column of a CSV file, or its quantiles where the file is not there."""

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from simulator.workload.request import Array
from smartlb.config.model import Section


class MeasuredError(ValueError):
    """Measurements cannot be used; the message says why and what would do."""


class Measured(Section):
    """Where measurements are, one machine a row."""

    path: str = Field(description="CSV file with a head line; may contain environment variables, such as ${TRACES}.")
    column: str = Field(default="value", description="The column with the measurements; more is faster.")
    fetch: str = Field(default="", description="What to fetch from where when the file is not there.")
    stand_in: dict[str, Annotated[float, Field(gt=0)]] = Field(
        description="Quantiles, such as {'0.01': 6429, '0.5': 8205, '0.99': 17140}, for when the file is not there.",
        min_length=2,
    )

    @model_validator(mode="after")
    def _quantiles(self) -> "Measured":
        try:
            levels = [float(level) for level in self.stand_in]
        except ValueError:
            raise ValueError("expected quantiles between 0 and 1 as the keys of `stand_in`") from None
        if not all(0.0 <= level <= 1.0 for level in levels) or levels != sorted(levels):
            raise ValueError("expected quantiles between 0 and 1, ascending, as the keys of `stand_in`")
        if list(self.stand_in.values()) != sorted(self.stand_in.values()):
            raise ValueError("expected values of `stand_in` that ascend with the quantiles")
        return self

    @property
    def file(self) -> Path:
        """The file, whether it is there or not."""
        return Path(os.path.expandvars(self.path)).expanduser()

    @property
    def available(self) -> bool:
        """Whether the file is there."""
        return self.file.is_file()

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """Speeds of `count` machines, relative to the median.

        Raises:
            MeasuredError: the file is there and cannot be used.
        """
        if self.available:
            values = _column(self.file, self.column)
            return np.asarray(rng.choice(values, count) / np.median(values))
        levels, known = [float(level) for level in self.stand_in], list(self.stand_in.values())
        return np.asarray(np.interp(rng.random(count), levels, known) / np.interp(0.5, levels, known))


@lru_cache(maxsize=4)
def _column(path: Path, column: str) -> Array:
    try:
        head, *rows = path.read_text().splitlines() or [""]
        names = head.split(",")
        there = bool(rows) and column in names
        values = np.genfromtxt(rows, delimiter=",", usecols=[names.index(column)]) if there else np.zeros(0)
    except ValueError as error:
        raise MeasuredError(f"{path}: cannot be read as CSV: {error}") from None
    if column not in names:
        raise MeasuredError(f"{path}: no column {column!r}; expected one of: {', '.join(names)}")
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        raise MeasuredError(f"{path}: the column {column!r} has no number above 0")
    return np.asarray(values)

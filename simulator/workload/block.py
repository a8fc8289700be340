"""Many recorded requests at once, as columns."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from simulator.workload.cost import Floats
from simulator.workload.traces.entry import Entry


class Block:
    """The columns of some requests; numbers become arrays when they are asked for.

    Args:
        entries: one or more.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        self._columns = Entry(*zip(*entries, strict=True))  # type: ignore[arg-type]
        self._count = len(entries)

    def __len__(self) -> int:
        return self._count

    def _numbers(self, field: str) -> Floats:
        values: Any = getattr(self._columns, field)
        return np.array(values, dtype=np.float64)

    @cached_property
    def at_s(self) -> Floats:
        """Arrivals."""
        return self._numbers("at_s")

    @cached_property
    def duration_s(self) -> Floats:
        """Durations; NaN where not known."""
        return self._numbers("duration_s")

    @cached_property
    def kilobytes(self) -> Floats:
        """Sizes of request and response together, in 1,000 bytes."""
        return (self._numbers("request_bytes") + self._numbers("response_bytes")) / 1e3

    @cached_property
    def input_tokens(self) -> Floats:
        """Tokens read."""
        return self._numbers("input_tokens")

    @cached_property
    def output_tokens(self) -> Floats:
        """Tokens generated."""
        return self._numbers("output_tokens")

    @property
    def names(self) -> Sequence[str | None]:
        """Classes as the trace names them."""
        names: Any = self._columns.request_class
        return names  # type: ignore[no-any-return]

    @property
    def clients(self) -> Sequence[str]:
        """Clients; empty where not known."""
        return self._columns.client

    @property
    def targets(self) -> Sequence[str]:
        """What was asked for; empty where not known."""
        return self._columns.target


Mask = npt.NDArray[np.bool_]
"""For each request of a block, whether something holds."""

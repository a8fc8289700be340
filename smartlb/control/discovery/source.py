"""What a source of backends is."""

from typing import Protocol

from smartlb.config.model import Backend


class NotFound(Exception):
    """A source cannot say which backends there are, and why; those that it last found stay."""


class Source(Protocol):
    """Says which backends a pool has.

    Attributes:
        again_s: how long after a look the next one is due.
    """

    again_s: float

    async def look(self) -> list[Backend] | None:
        """The backends that there are now; None where nothing can have changed since the last look.

        Raises:
            NotFound: it cannot say.
        """

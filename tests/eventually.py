"""Waiting for what must happen soon, without guessing how soon."""

import asyncio
from collections.abc import Callable
from time import monotonic


async def eventually(holds: Callable[[], object], within_s: float = 10.0, every_s: float = 0.002) -> None:
    """Return once `holds` is true; fail the test when it is not in time."""
    give_up_s = monotonic() + within_s
    while not holds():
        assert monotonic() < give_up_s, f"this did not come true within {within_s:g} s"
        await asyncio.sleep(every_s)

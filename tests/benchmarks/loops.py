"""Two cases of which one does ten times as much as the other."""

from collections.abc import Callable
from itertools import repeat


def cases() -> dict[str, Callable[[int], None]]:
    """By name."""

    def loop(turns: int) -> Callable[[int], None]:
        def case(calls: int) -> None:
            for _ in range(calls):
                for _ in repeat(None, turns):  # numbers from 257 on would cost more than those below
                    pass

        return case

    return {"little": loop(100), "much": loop(1_000)}

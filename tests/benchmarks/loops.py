"""Two cases of which one does ten times as much as the other."""

from collections.abc import Callable


def cases() -> dict[str, Callable[[int], None]]:
    """By name."""

    def loop(turns: int) -> Callable[[int], None]:
        def case(calls: int) -> None:
            for _ in range(calls):
                for _ in range(turns):
                    pass

        return case

    return {"little": loop(100), "much": loop(1_000)}

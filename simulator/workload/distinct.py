"""Names that must differ."""

from collections import Counter
from collections.abc import Iterable


def distinct(names: Iterable[str]) -> None:
    """Check the names of classes.

    Raises:
        ValueError: one is there more than once.
    """
    name, count = next(iter(Counter(names).most_common(1)), ("", 0))
    if count > 1:
        raise ValueError(f"{count} classes are called {name!r}; give each a name of its own")

# cython: annotation_typing=False
"""How many requests there may be at once over connections that carry many."""


class StreamLimit:
    """Counts them, altogether and by client address; one that is None is not limited on its own.

    Args:
        most: requests at once.
        per_client: requests of one address; None for any number.

    Attributes:
        refused: requests that were too many, so far.
    """

    def __init__(self, most: int, per_client: int | None) -> None:
        self._most = most
        self._per_client = most if per_client is None else per_client
        self._open = 0
        self._of: dict[str, int] = {}  # only addresses that have any
        self.refused = 0

    def admit(self, address: str | None) -> bool:
        """Count a request in; False when there are too many."""
        count = 0 if address is None else self._of.get(address, 0)
        if self._open >= self._most or count >= self._per_client:
            self.refused += 1
            return False
        self._open += 1
        if address is not None:
            self._of[address] = count + 1
        return True

    def left(self, address: str | None) -> None:
        """Count a request out that was counted in."""
        self._open -= 1
        if address is not None:
            count = self._of[address] - 1
            if count:
                self._of[address] = count
            else:
                del self._of[address]

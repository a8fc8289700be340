# cython: annotation_typing=False
"""How many requests there may be at once over connections that carry many."""

from smartlb.limits.client_limit import ClientLimit


class StreamLimit:
    """Counts them, altogether and by client address.

    Args:
        most: requests at once.
        per_client: requests of one address; None for any number.

    Attributes:
        refused: requests that were too many, so far.
    """

    def __init__(self, most: int, per_client: int | None) -> None:
        self._most = most
        self._open = 0
        self._per_client = ClientLimit(per_client)
        self.refused = 0

    def admit(self, address: str | None) -> bool:
        """Count a request in; False when there are too many.

        Args:
            address: of the client; None where it is not limited.
        """
        if self._open >= self._most or self._per_client.full(address):
            self.refused += 1
            return False
        self._open += 1
        self._per_client.opened(address)
        return True

    def left(self, address: str | None) -> None:
        """Count one out that has been counted in."""
        self._open -= 1
        self._per_client.closed(address)

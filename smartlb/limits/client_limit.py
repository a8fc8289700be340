"""How many connections one client may have: nginx's `limit_conn`, HAProxy's `src_conn_cur`."""


class ClientLimit:
    """Counts connections by client address; one that is None is not limited, and not counted.

    Args:
        most: connections that an address may have; None for any number.
    """

    __slots__ = ("_most", "_open")

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._open: dict[str, int] = {}  # only addresses that have any, so it is bounded by `limits.connections`

    def full(self, address: str | None) -> bool:
        """Whether an address has all that it may have."""
        return self._most is not None and address is not None and self._open.get(address, 0) >= self._most

    def opened(self, address: str | None) -> None:
        """Count a connection in."""
        if self._most is not None and address is not None:
            self._open[address] = self._open.get(address, 0) + 1

    def closed(self, address: str | None) -> None:
        """Count it out."""
        if self._most is None or address is None:
            return
        left = self._open[address] - 1
        if left:
            self._open[address] = left
        else:
            del self._open[address]

"""What ended, on its way to those who want to know of it."""

from simulator.kernel.state import Array, State


class Reader:
    """Reads the log of a run as it grows, each record once and not before it is of an age.

    Args:
        delay_s: the least age.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._at = 0

    def read(self, state: State, now_s: float) -> Array:
        """The records that are old enough by now, in the order in which they ended."""
        records = state.log[self._at : int(state.clock["logged"][0])]
        ended_s = records["arrived_s"] + records["queued_s"] + records["total_s"]
        # The times are rounded, so they need not ascend strictly; the first that is too young ends the batch.
        young = ended_s > now_s - self._delay_s
        count = int(young.argmax()) if young.any() else len(records)
        self._at += count
        return records[:count]

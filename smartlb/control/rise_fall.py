"""What a run of equal results of active checks says of a backend."""

from enum import StrEnum


class Health(StrEnum):
    """What the checks say of a backend; one that is not known yet is used like a healthy one."""

    UNKNOWN = "unknown"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"


class RiseFall:
    """The state of one backend, which only a run of equal results changes.

    A new backend is unknown until `rise` successes or `fall` failures in a row. Unknown counts as usable, so
    that traffic starts at once.

    Attributes:
        state: what is held of the backend now.
        run: how many results in a row were like the last one.
    """

    def __init__(self, rise: int, fall: int) -> None:
        self.state = Health.UNKNOWN
        self.run = 0
        self._needed = {True: rise, False: fall}
        self._last: bool | None = None

    def take_over(self, earlier: "RiseFall") -> None:
        """Go on from what another has observed of the same backend."""
        self.state, self.run, self._last = earlier.state, earlier.run, earlier._last

    def observe(self, passed: bool) -> bool:
        """Take in a result; returns whether it changed the state."""
        self.run = self.run + 1 if passed is self._last else 1
        self._last = passed
        implied = Health.HEALTHY if passed else Health.UNHEALTHY
        if self.state is implied or self.run < self._needed[passed]:
            return False
        self.state = implied
        return True

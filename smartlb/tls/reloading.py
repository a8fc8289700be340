"""A value made from files, and made again when they change."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from smartlb.tls.files import CertificateError

log = logging.getLogger(__name__)

T = TypeVar("T")


class Reloading(Generic[T]):
    """A value made from files, and made again once one of them has changed.

    Args:
        paths: of the files.
        make: makes the value, or raises `CertificateError`.
        interval_s: time between two looks at the files.

    Attributes:
        value: as it was made last; None before the files could be used for the first time.
    """

    def __init__(self, paths: Sequence[str], make: Callable[[], T], interval_s: float) -> None:
        self.value: T | None = None
        self._paths = paths
        self._make = make
        self._interval_s = interval_s
        self._look_at_s = float("-inf")
        self._seen: list[tuple[int, ...] | None] | None = None
        self._trouble = ""

    def refresh(self, now_s: float) -> bool:
        """Look at the files if it is time to; returns whether the value is a new one.

        Files that cannot be used leave the value as it is. They are reported once, and tried again at each look: what
        was wrong may not be in the files.
        """
        if now_s < self._look_at_s:
            return False
        self._look_at_s = now_s + self._interval_s
        # Seen before they are read: a change in between is found at the next look.
        seen = [_seen(path) for path in self._paths]
        if seen == self._seen:
            return False
        again = self.value is not None
        self._seen = seen
        try:
            self.value = self._make()
        except (CertificateError, OSError) as error:  # OSError: a file that vanishes while it is read
            self._seen = None
            if str(error) != self._trouble:
                log.error("%s%s", error, "; what was loaded before stays in use" if again else "")
            self._trouble = str(error)
            return False
        self._trouble = ""
        if again:
            log.info("reloaded %s", ", ".join(self._paths))
        return True


def _seen(path: str) -> tuple[int, ...] | None:
    """What changes when a file or the permission to read it does; links are followed."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino

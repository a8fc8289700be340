"""Which backends discovery has found, as the supervisor tells the other processes.

The text is in a file without a name that all of them hold; its version is in the segment, under a sequence lock like
that of `smartlb.core.snapshot`: odd while the supervisor writes, so that a reader which sees it odd or changed looks
again at its next turn.
"""

import json
import os
from collections.abc import Iterable
from time import sleep
from typing import Any

from smartlb.config.model import Backend
from smartlb.config.numbering import VACANT, Member
from smartlb.core import fence
from smartlb.core.segment import Segment

_TRIES = 1000
_PAUSE_S = 0.001


def publish(fd: int, segment: Segment, members: Iterable[Member]) -> None:
    """Replace what is said of all positions for discovery; by the supervisor only."""
    rows = [
        {
            "index": member.index,
            "pool": member.pool,
            "position": member.position,
            "settings": None if member.vacant else member.settings.model_dump(),
            "tenancy": member.tenancy,
            "leaving": member.leaving,
        }
        for member in members
    ]
    text = json.dumps(rows).encode()
    segment.membership_version += 1
    fence.publish()
    os.ftruncate(fd, 0)
    written = 0
    while written < len(text):
        written += os.pwrite(fd, text[written:], written)
    fence.publish()
    segment.membership_version += 1


class MembershipReader:
    """Reads it where it has changed.

    Args:
        fd: of the file; -1 where no pool has discovery.
        segment: with the version.
    """

    def __init__(self, fd: int, segment: Segment) -> None:
        self._fd = fd
        self._segment = segment
        self._version = 0

    def first(self) -> list[Member]:
        """`news` for a process that begins: waits for a writer, as it must not believe that there are no backends."""
        for _ in range(_TRIES):
            if (members := self.news()) or self._fd < 0 or self._segment.membership_version[0] == 0:
                return members
            sleep(_PAUSE_S)
        return []

    def news(self) -> list[Member]:
        """What is said of all positions for discovery, where that is new; empty otherwise, and while it is written."""
        version = int(self._segment.membership_version[0])
        if version == self._version or version & 1 or self._fd < 0:
            return []
        fence.observe()
        text = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        fence.observe()
        if int(self._segment.membership_version[0]) != version:
            return []
        self._version = version
        return [Member(**{**row, "settings": _backend(row["settings"])}) for row in json.loads(text)]


def _backend(settings: dict[str, Any] | None) -> Backend:
    return VACANT if settings is None else Backend(**settings)

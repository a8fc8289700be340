"""What a process leaves to the one that takes over from it in an upgrade, besides the sockets: as named descriptors."""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from smartlb.config.model import Backend
from smartlb.process.nameless_file import content_of, unlinked_file
from smartlb.supervisor.successor import READY

ADMIN = "smartlb-admin-"
"""Prefix of the name of the admin API's socket, before its address."""

_MEMORY = "smartlb-memory"
_DRAINED = "smartlb-drained"
_FOUND = "smartlb-found"
_ESTATE = (READY, _MEMORY, _DRAINED, _FOUND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """What a process leaves to its successor, besides the sockets.

    Attributes:
        memory_fd: a file with what the learner knows; -1 for nothing. It is for whoever takes the estate to close.
        drained: pool and name of each backend that is.
        found: the backends that discovery has found, by pool.
        ready_fd: a pipe into which the successor writes a line once it serves; -1 for none.
    """

    memory_fd: int = -1
    drained: Sequence[tuple[str, str]] = ()
    found: Mapping[str, list[Backend]] = field(default_factory=dict)
    ready_fd: int = -1

    @classmethod
    def of(cls, inherited: Iterable[tuple[str, int]]) -> tuple["Estate", list[tuple[str, int]]]:
        """Take it from the names and descriptors that a process was started with; returns the others too."""
        every = list(inherited)
        fds = {name: fd for name, fd in every if name in _ESTATE}
        drained = [(pool, name) for pool, name in _read(fds[_DRAINED])] if _DRAINED in fds else []
        found = _read(fds[_FOUND]).items() if _FOUND in fds else ()
        backends = {pool: [Backend(**each) for each in own] for pool, own in found}
        estate = cls(memory_fd=fds.get(_MEMORY, -1), drained=drained, found=backends, ready_fd=fds.get(READY, -1))
        return estate, [each for each in every if each[0] not in fds]

    @contextlib.contextmanager
    def left(self) -> Iterator[list[tuple[str, int]]]:
        """Names and descriptors for a successor that is started in the block, and are closed after it."""
        found = {pool: [each.model_dump() for each in own] for pool, own in self.found.items()}
        given = [
            (_DRAINED, unlinked_file(json.dumps(list(self.drained)).encode())),
            (_FOUND, unlinked_file(json.dumps(found).encode())),
            *([(_MEMORY, self.memory_fd)] if self.memory_fd >= 0 else []),
        ]
        try:
            yield given
        finally:
            for _, fd in given:
                os.close(fd)

    def say_ready(self) -> None:
        """Tell the process before that this one serves."""
        if self.ready_fd >= 0:
            with contextlib.suppress(OSError):
                os.write(self.ready_fd, b"\n")
            os.close(self.ready_fd)


def _read(fd: int) -> Any:
    content = content_of(fd)
    os.close(fd)
    return json.loads(content)

"""What a learner knows, handed to the next one through a file without a name.

The supervisor makes the file and sends SIGUSR1; the learner writes, and goes on. The text ends in a line end, by which
the supervisor sees that all of it is there.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from time import monotonic

from smartlb.learning.checkpoint import Checkpoint, CheckpointError, Names, from_text, to_text
from smartlb.learning.learner import Learner
from smartlb.process.nameless_file import content_of

log = logging.getLogger(__name__)

_WRITTEN_WITHIN_S = 3.0


async def ask(fd: int, wake: Callable[[], None]) -> bool:
    """Have a learner write what it knows.

    Args:
        fd: of the file, which is emptied first.
        wake: sends the learner its signal.

    Returns:
        Whether it has; False when it takes too long.
    """
    os.ftruncate(fd, 0)
    wake()
    give_up_s = monotonic() + _WRITTEN_WITHIN_S
    while not _whole(fd):
        if monotonic() > give_up_s:
            return False
        await asyncio.sleep(0.01)
    return True


def _whole(fd: int) -> bool:
    size = os.fstat(fd).st_size
    return size > 0 and os.pread(fd, 1, size - 1) == b"\n"


def write(fd: int, checkpoint: Checkpoint) -> None:
    """Write what is known; never raises."""
    try:
        data = to_text(checkpoint).encode()
        written = 0
        while written < len(data):
            written += os.pwrite(fd, data[written:], written)
    except Exception as error:  # snapshots go on
        log.error("what was learned cannot be handed over: %s", error)


def recall(fd: int, learner: Learner, names: Names) -> bool:
    """Let a learner begin from what another has written; returns whether it could, and logs why not.

    Args:
        fd: of the file; -1 where there is none.
        learner: a new one.
        names: of its classes and backends.
    """
    if fd < 0:
        return False
    try:
        recalled = learner.recall(from_text(content_of(fd)), names)
    except (CheckpointError, OSError) as error:
        log.warning("what the learner before knew is not used: %s", error)
        return False
    log.info("%d backends are known from the learner before", len(recalled.known))
    if recalled.cold:
        log.info("it did not know, so they start cold: %s", ", ".join(recalled.cold))
    return True

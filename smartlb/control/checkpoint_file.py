"""Checkpoints on disk: whoever reads one sees all of it, or the one before."""

import contextlib
import os
import tempfile
from pathlib import Path

from smartlb.learning.checkpoint import Checkpoint, CheckpointError, from_text, to_text

_MOST_BYTES = 256 * 1024 * 1024


def read(path: Path) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        CheckpointError: it cannot be read, or is none; the message begins with its path.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise CheckpointError("larger than any checkpoint (give another file)")
        return from_text(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Replace a file as a whole, and only once all of it is on the disk.

    Raises:
        OSError: it cannot be written; what was there before is there still.
    """
    fd, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    unfinished = Path(name)
    try:
        with open(fd, "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(to_text(checkpoint))
            file.flush()
            os.fsync(file.fileno())
        unfinished.chmod(0o644)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    # The new name is on the disk once its folder is. Not every system lets a folder be synchronised.
    with contextlib.suppress(OSError):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

"""Keeps what the learner knows in a file, and gives it back at the next start."""

import logging
import threading
from collections.abc import Callable
from math import inf
from pathlib import Path

from smartlb.config.model import Checkpoint as Settings
from smartlb.control.checkpoint_file import read, write
from smartlb.learning.checkpoint import Checkpoint, CheckpointError, Names
from smartlb.learning.learner import Learner

log = logging.getLogger(__name__)

_COMPLAIN_EVERY_S = 60.0
_END_WITHIN_S = 2.0


class CheckpointKeeper:
    """Restores a learner at the start and saves it at intervals; what fails is logged and harms nothing else.

    The disk is waited for in a thread of its own, so that a slow one does not hold up the snapshots.

    Args:
        settings: which file and how often; None keeps nothing.
        names: of the learner's classes and backends.
        monotonic: clock for the intervals.
        unix_time: clock for the age of files.
    """

    def __init__(
        self,
        settings: Settings | None,
        names: Names,
        monotonic: Callable[[], float],
        unix_time: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._names = names
        self._monotonic = monotonic
        self._unix_time = unix_time
        self._due_s = monotonic() + (settings.interval_s if settings else inf)
        self._complain_at_s = -inf
        self._writing: threading.Thread | None = None

    def rename(self, names: Names) -> None:
        """The learner has other backends now."""
        self._names = names

    def restore(self, learner: Learner) -> None:
        """Give a learner back what the file knows; it starts cold where that cannot be used, and the log says why."""
        if self._settings is None:
            return
        path = Path(self._settings.path)
        if not path.exists():
            log.info("checkpoint %s is not there yet: the learner starts cold", path)
            return
        try:
            checkpoint = read(path)
            saved_s = checkpoint.saved_unix_s
            age_s = -inf if saved_s is None else self._unix_time() - saved_s
            if age_s > self._settings.max_age_s:
                log.warning(
                    "checkpoint %s is %.0f s old, more than learner.checkpoint.max_age_s (%g): the learner starts cold",
                    path, age_s, self._settings.max_age_s,
                )  # fmt: skip
                return
            recalled = learner.recall(checkpoint, self._names)
        except (CheckpointError, OSError) as error:
            log.warning("checkpoint not used, the learner starts cold: %s", _with_path(path, error))
            return
        log.info("checkpoint %s: %d backends are known", path, len(recalled.known))
        if recalled.cold:
            log.info("checkpoint %s does not know, so they start cold: %s", path, ", ".join(recalled.cold))

    def save_when_due(self, learner: Learner) -> None:
        """Save at intervals; returns at once, and never raises."""
        if self._settings is None or (now_s := self._monotonic()) < self._due_s:
            return
        self._due_s = now_s + self._settings.interval_s
        if self._writing is not None and self._writing.is_alive():
            self._complain("the last writing is not over yet")
            return
        self._save(learner)

    def save_at_the_end(self, learner: Learner) -> None:
        """Save, and wait for the disk a little."""
        if self._settings is None:
            return
        if self._writing is not None:
            self._writing.join(_END_WITHIN_S)
        if self._writing is None or not self._writing.is_alive():
            self._save(learner)
        if self._writing is not None:
            self._writing.join(_END_WITHIN_S)

    def _save(self, learner: Learner) -> None:
        if not learner.samples:
            return  # what is there knows more
        try:
            checkpoint = learner.memory(self._names, self._unix_time())
            self._writing = threading.Thread(target=self._write, args=(checkpoint,), name="checkpoint", daemon=True)
            self._writing.start()
        except Exception as error:  # whatever is wrong with it, snapshots go on
            self._complain(error)

    def _write(self, checkpoint: Checkpoint) -> None:
        assert self._settings is not None
        try:
            write(Path(self._settings.path), checkpoint)
        except Exception as error:
            self._complain(error)

    def _complain(self, why: object) -> None:
        assert self._settings is not None
        now_s = self._monotonic()
        if now_s >= self._complain_at_s:
            self._complain_at_s = now_s + _COMPLAIN_EVERY_S
            log.error("checkpoint %s cannot be written: %s", self._settings.path, why)


def _with_path(path: Path, error: Exception) -> str:
    return str(error) if str(error).startswith(str(path)) else f"{path}: {error}"

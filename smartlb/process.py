"""What every process under the supervisor is given, and how it lives and dies with it."""

import argparse
import ctypes
import gc
import json
import logging
import mmap
import os
import signal
import sys
import tempfile
from dataclasses import asdict, dataclass, field

from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.core.segment import Layout, Segment

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Handover:
    """The file descriptors and numbers that the supervisor passes on the command line.

    Attributes:
        config_fd: an unlinked file with the configuration as JSON; a replaced process reads what the first one read,
            whatever has become of the file on disk.
        segment_fd: the shared memory.
        ring_capacity: of each telemetry ring, in records.
        worker: the worker's number; -1 for the learner.
        listen_fds: for each listener the bound sockets that the worker accepts from. The supervisor keeps them open
            too, so that connections wait in their queue while a dead worker is replaced.
        access_log_fd: datagram socket for batches of access log entries; -1 for none.
        memory_fd: an unlinked file for what the learner knows, written on SIGUSR1; -1 but for the learner.
        recall_fd: such a file of the learner before, to begin from; -1 for none.
        membership_fd: an unlinked file with the backends that discovery found, see `smartlb.config.membership`; -1
            where no pool has discovery.
        secrets_fd: an unlinked file with the secrets that sign cookies, by pool, as JSON, which a replaced worker needs
            like the first one; -1 where no pool has any.
        supervisor: process id of the supervisor, which makes the handover.
    """

    config_fd: int
    segment_fd: int
    ring_capacity: int
    worker: int = -1
    listen_fds: tuple[tuple[int, ...], ...] = ()
    access_log_fd: int = -1
    memory_fd: int = -1
    recall_fd: int = -1
    membership_fd: int = -1
    secrets_fd: int = -1
    supervisor: int = field(default_factory=os.getpid)

    @property
    def fds(self) -> tuple[int, ...]:
        """All descriptors that the process must inherit."""
        listening = (fd for fds in self.listen_fds for fd in fds)
        own = (self.config_fd, self.segment_fd, self.access_log_fd, self.membership_fd, self.secrets_fd)
        every = (*listening, *own, self.memory_fd, self.recall_fd)
        return tuple(fd for fd in every if fd >= 0)

    def to_argument(self) -> str:
        """As one command line argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_command_line(cls, description: str) -> "Handover":
        """Read it back in the process itself."""
        parser = argparse.ArgumentParser(description=f"{description} It is started by `smartlb serve`.")
        parser.add_argument("handover", help="descriptors and numbers, as JSON")
        given = json.loads(parser.parse_args().handover)
        return cls(**{**given, "listen_fds": tuple(map(tuple, given["listen_fds"]))})

    def config(self) -> Config:
        """The configuration."""
        return Config.model_validate_json(content_of(self.config_fd))

    def secrets(self) -> dict[str, bytes]:
        """The secrets that sign cookies, by pool."""
        if self.secrets_fd < 0:
            return {}
        return {pool: bytes.fromhex(secret) for pool, secret in json.loads(content_of(self.secrets_fd)).items()}

    def segment(self, config: Config, numbering: Numbering) -> Segment:
        """The shared memory, mapped."""
        layout = layout_of(config, numbering, self.ring_capacity)
        return Segment(memoryview(mmap.mmap(self.segment_fd, layout.size)), layout)


def layout_of(config: Config, numbering: Numbering, ring_capacity: int) -> Layout:
    """The segment's layout for a configuration."""
    return Layout(config.workers, len(numbering.backends), len(numbering.classes), ring_capacity)


def set_up_logging(name: str) -> None:
    """Log to standard error, one line a message, under the process's name."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)s {name}[%(process)d] %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )


def unlinked_file(content: bytes = b"") -> int:
    """A descriptor of a file in memory that has no name, and goes with the last process that holds it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("smartlb")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.write(fd, content)
    return fd


def content_of(fd: int) -> bytes:
    """All that is in such a file, whoever else reads it."""
    return os.pread(fd, os.fstat(fd).st_size, 0)


def seldom_collect() -> None:
    """Leave what is there now to itself, and look for garbage in cycles seldom: a full look takes 100 ms and more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def tie_to(supervisor: int) -> None:
    """End with the supervisor even if it is killed.

    The kernel's signal exists on Linux only; elsewhere the processes look at `orphaned` at intervals.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # A terminal's Ctrl-C reaches the whole group; the supervisor decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if orphaned(supervisor):
        sys.exit("the supervisor ended before this process was ready")


def orphaned(supervisor: int) -> bool:
    """Whether the supervisor is gone."""
    return os.getppid() != supervisor

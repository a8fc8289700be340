"""What every process under the supervisor is given."""

import argparse
import json
import mmap
import os
from dataclasses import asdict, dataclass, field

from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.core.segment import Layout, Segment
from smartlb.process.nameless_file import content_of


@dataclass(frozen=True, slots=True, kw_only=True)
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
    return Layout(
        config.workers,
        len(numbering.backends),
        len(numbering.classes),
        ring_capacity,
        rate_limit_bytes=numbering.rate_limit_bytes,
    )

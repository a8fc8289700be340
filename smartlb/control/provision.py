"""What the processes of a generation are given: files without a name, shared memory, and the access log's socket."""

import json
import os
import socket
from collections.abc import Sequence
from dataclasses import replace

from smartlb.config.affinity_secret import NoSecret, secrets_of
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.control.sockets import Listening
from smartlb.process.handover import Handover, layout_of
from smartlb.process.nameless_file import unlinked_file

_RING_CAPACITY = 65_536
_LOG_BUFFER_BYTES = 4 * 1024 * 1024


class Provision:
    """Makes it, and lets go of it.

    Args:
        config: what the processes run.
        numbering: of the same configuration.
        recall_fd: what an earlier learner knew; -1 for nothing. It is closed with the rest, or where this fails.

    Raises:
        NoSecret: a pool's secret for affinity is not to be had.

    Attributes:
        segment: the memory that the processes share.
        log_socket: where the lines of the access log come from; None without one.
        learns: whether there is a learner: some pool uses the learned policy.
        recalls: whether the learner begins from what an earlier one knew.
    """

    def __init__(self, config: Config, numbering: Numbering, recall_fd: int) -> None:
        try:
            secrets = secrets_of(config)
        except NoSecret:
            if recall_fd >= 0:
                os.close(recall_fd)
            raise
        self._workers = config.workers
        handover = Handover(
            config_fd=unlinked_file(config.model_dump_json().encode()),
            segment_fd=unlinked_file(),
            ring_capacity=_RING_CAPACITY,
        )
        os.ftruncate(handover.segment_fd, layout_of(config, numbering, _RING_CAPACITY).size)
        self.segment = handover.segment(config, numbering)
        if any(pool.discovery is not None for pool in config.pools.values()):
            handover = replace(handover, membership_fd=unlinked_file())
        if secrets:
            text = json.dumps({pool: secret.hex() for pool, secret in secrets.items()})
            handover = replace(handover, secrets_fd=unlinked_file(text.encode()))
        self.log_socket: socket.socket | None = None
        if config.access_log is not None:
            self.log_socket, workers_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            self.log_socket.setblocking(False)
            workers_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LOG_BUFFER_BYTES)
            handover = replace(handover, access_log_fd=workers_end.detach())
        self.learns = any(pool.policy.name == "learned" for pool in config.pools.values())
        self.recalls = self.learns and recall_fd >= 0
        self._memory_fd = unlinked_file() if self.learns else -1
        self._recall_fd = recall_fd
        self._handover = handover

    @property
    def membership_fd(self) -> int:
        """Where the backends that discovery finds are published; -1 where no pool has discovery."""
        return self._handover.membership_fd

    @property
    def memory_fd(self) -> int:
        """Where the learner writes what it knows; -1 where there is none."""
        return self._memory_fd

    def of_worker(self, number: int, listening: Sequence[Listening]) -> Handover:
        """What a worker is given.

        Args:
            number: of the worker.
            listening: the sockets of each listener.
        """
        shares = tuple(each.share(number, self._workers) for each in listening)
        return replace(self._handover, worker=number, listen_fds=shares)

    def of_learner(self) -> Handover:
        """What the learner is given, which needs no secrets and writes no log of requests."""
        return replace(
            self._handover,
            access_log_fd=-1,
            secrets_fd=-1,
            memory_fd=self._memory_fd,
            recall_fd=self._recall_fd,
        )

    def close(self) -> None:
        """Let go of it, once the processes have ended."""
        for fd in (*self._handover.fds, self._memory_fd, self._recall_fd):
            if fd >= 0:
                os.close(fd)
        if self.log_socket is not None:
            self.log_socket.close()

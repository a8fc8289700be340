"""The access logs of all generations of processes; those with the same settings write to the same one."""

import asyncio
import contextlib

from smartlb.admin.access_log import AccessLog
from smartlb.control.generation import Generation
from smartlb.process.guard import Guard

_LARGEST_BATCH = 1024 * 1024
"""Of one datagram; workers send at most 32 KiB, or one line that is longer."""


class AccessLogs:
    """Takes the batches of each generation's workers to its log, where it has one.

    Args:
        guard: around each batch.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._logs: dict[Generation, AccessLog] = {}
        self._batch = memoryview(bytearray(_LARGEST_BATCH))  # once: a new one each time would tear the heap

    def open(self, generation: Generation, present: Generation | None = None) -> None:
        """Give a generation its log: that of the present one, where the settings are the same.

        Raises:
            OSError: the file cannot be opened.
        """
        settings = generation.config.access_log
        if settings is None:
            return
        if present is not None and settings == present.config.access_log:
            self._logs[generation] = self._logs[present]
        else:
            self._logs[generation] = AccessLog(settings.path, guard=self._guard)

    def of(self, generation: Generation) -> AccessLog | None:
        """A generation's log; None where it keeps none."""
        return self._logs.get(generation)

    def follow(self, generation: Generation) -> None:
        """Write what the workers of a generation send from now on."""
        if generation.log_socket is not None:
            asyncio.get_running_loop().add_reader(generation.log_socket, self._take, generation)

    def let_go(self, generation: Generation) -> None:
        """Write what a generation has left, and close its log if no other one has it."""
        access_log = self._logs.get(generation)
        if access_log is None or generation.log_socket is None:
            return
        asyncio.get_running_loop().remove_reader(generation.log_socket)
        self._take(generation)
        del self._logs[generation]
        if access_log not in self._logs.values():
            access_log.close()

    def reopen(self) -> None:
        """Go on in new files of the same names."""
        for access_log in set(self._logs.values()):
            access_log.reopen()

    def _take(self, generation: Generation) -> None:
        assert generation.log_socket is not None
        access_log = self._logs[generation]
        with self._guard("reading lines of the access log"), contextlib.suppress(BlockingIOError):
            while True:
                size = generation.log_socket.recv_into(self._batch)
                access_log.write_batch(bytes(self._batch[:size]))

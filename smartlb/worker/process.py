"""A worker's process: ``python -m smartlb.worker.process``, started by the supervisor."""

import asyncio
import logging
import os
import signal
import socket
import sys
from random import Random
from typing import Final

import uvloop

from smartlb.config.numbering import Numbering
from smartlb.config.open_files import shortage
from smartlb.downstream.tls import ignore_unreadable_names
from smartlb.process import open_files
from smartlb.process.handover import Handover
from smartlb.process.lifetime import orphaned, seldom_collect, tie_to
from smartlb.process.logs import set_up_logging
from smartlb.worker.listening import Listening, listen
from smartlb.worker.worker import Worker

log = logging.getLogger(__name__)

_TICK_S: Final = 0.02

_TICKS_A_SWEEP: Final = 5
"""Timeouts are looked at every 0.1 s: exact timers for every request would cost more than the requests' policies."""

_LAST_REQUEST_S: Final = 1.0
"""How long an idle connection may stay after SIGTERM: time for a request that its client has sent already."""


async def _run(handover: Handover) -> None:
    loop = asyncio.get_running_loop()
    stop, retire = asyncio.Event(), asyncio.Event()
    sys.unraisablehook = ignore_unreadable_names
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, retire.set)
    config = handover.config()
    numbering = Numbering(config)
    access_log = socket.socket(fileno=handover.access_log_fd) if handover.access_log_fd >= 0 else None
    if access_log is not None:
        access_log.setblocking(False)
    if words := shortage(config, open_files.limit()):
        log.warning("%s", words)
    segment = handover.segment(config, numbering)
    random = Random(os.urandom(16))
    worker = Worker(
        config, segment, handover.worker, random, loop, access_log, handover.membership_fd, handover.secrets()
    )
    await worker.begin()
    servers: list[Listening] = []
    alone = config.workers == 1
    for fds, listener, route in zip(handover.listen_fds, config.listeners, numbering.listeners, strict=True):
        for fd in fds:
            bound = socket.socket(fileno=fd)
            servers.append(await listen(worker.front, worker.pools, listener, route, bound, alone=alone))
    seldom_collect()
    log.info("worker %d serves", handover.worker)

    now = worker.clock.now
    ticks = 0
    stopping = False
    drained_by_s = float("inf")
    while not (worker.draining and worker.idle) and now() < drained_by_s:
        now_s = now()
        worker.tick(now_s)
        ticks += 1
        if ticks % _TICKS_A_SWEEP == 0:
            worker.sweep(now_s)
            if orphaned(handover.supervisor):
                stop.set()
        if (stop.is_set() or retire.is_set()) and not worker.draining:
            drained_by_s = now_s + config.shutdown_s
            for server in servers:
                server.close()
            log.info("worker %d drains %d connections", handover.worker, len(worker.admission.all))
            worker.retire(config.shutdown_s)
        if stop.is_set() and not stopping:
            stopping = True
            worker.drain(min(_LAST_REQUEST_S, config.shutdown_s))
        await asyncio.sleep(_TICK_S)
    if worker.unfinished:
        log.warning("worker %d ends with %d requests and connections unfinished", handover.worker, worker.unfinished)
    worker.tick(now())


def main() -> None:
    """Run a worker until SIGTERM or the supervisor's end."""
    handover = Handover.from_command_line("A worker of the router.")
    tie_to(handover.supervisor)
    set_up_logging("worker")
    open_files.raise_limit()
    uvloop.run(_run(handover))


if __name__ == "__main__":
    main()

"""The supervisor: owns the sockets, the shared memory and the processes, and joins all that is off the data path."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Coroutine
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from time import monotonic, time
from typing import Any

import numpy as np
import uvloop
from aiohttp import web

from smartlb.admin.access_log import AccessLog
from smartlb.admin.app import make_app
from smartlb.admin.state import ProcessStatus, RouterState
from smartlb.admin.traffic import Traffic
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.control.child import Child
from smartlb.control.ejection import Ejector
from smartlb.control.eligibility import Eligibility
from smartlb.control.health import HealthChecker
from smartlb.control.sockets import CannotListen, bind, bind_for_workers, name_of
from smartlb.process import Handover, layout_of, set_up_logging
from smartlb.proxy.affinity_secret import NoSecret, secret_of

log = logging.getLogger(__name__)

_PUMP_S = 0.05
"""Between two readings of the telemetry; an ejection comes at most this long after its cause."""

_RING_CAPACITY = 65_536

_HUNG_AFTER_S = 5.0
"""A process that has shown no life for this long is killed and replaced."""

_READY_WITHIN_S = 30.0
_CHILDREN_GRACE_S = 2.0
_LOG_BUFFER_BYTES = 4 * 1024 * 1024


class Supervisor:
    """A router in its parts, from the bound sockets to the last process's end.

    Args:
        config: what to run.

    Raises:
        CannotListen: an address is not to be had.
        NoSecret: nor is a pool's secret for affinity.
        OSError: the access log cannot be opened.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._numbering = numbering = Numbering(config)
        for name, pool in config.pools.items():
            if pool.affinity is not None and pool.affinity.kind == "cookie":
                secret_of(name, pool.affinity)  # better said once here than by each worker at each start
        workers = config.workers
        listeners = [bind_for_workers(listener.bind, workers) for listener in config.listeners]
        self._admin_socket = bind(config.admin.bind, shared=False)
        self._listening = [name_of(sockets[0]) for sockets in listeners]
        self._listen_fds = [[sockets[number].detach() for sockets in listeners] for number in range(workers)]

        layout = layout_of(config, numbering, _RING_CAPACITY)
        segment_fd = _unlinked_file(b"")
        os.ftruncate(segment_fd, layout.size)
        handover = Handover(_unlinked_file(config.model_dump_json().encode()), segment_fd, _RING_CAPACITY)
        self._segment = segment = handover.segment(config, numbering)
        self._readers = [segment.ring_reader(worker) for worker in range(workers)]

        self._access_log: AccessLog | None = None
        self._log_socket: socket.socket | None = None
        if config.access_log is not None:
            self._access_log = AccessLog(config.access_log.path, numbering, time() - monotonic())
            self._log_socket, workers_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            workers_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LOG_BUFFER_BYTES)
            handover = replace(handover, access_log_fd=workers_end.detach())

        self._workers = [
            Child(
                f"worker {number}",
                "smartlb.proxy.worker",
                replace(handover, worker=number, listen_fds=tuple(self._listen_fds[number])),
                on_exit=partial(self._clear_worker, number),
            )
            for number in range(workers)
        ]
        learned = any(pool.policy.name == "learned" for pool in config.pools.values())
        self._learner = (
            Child("learner", "smartlb.control.learner_process", handover, on_exit=lambda: None) if learned else None
        )

        self._eligibility = Eligibility(
            segment, numbering, {name: pool.panic_share for name, pool in config.pools.items()}
        )
        self._health = HealthChecker(config, numbering, self._eligibility.set_health, Random())
        self._ejector = Ejector((numbering.pools[name], pool.ejection) for name, pool in config.pools.items())
        self._traffic = Traffic(numbering, config.learner.latency)
        self._state = RouterState(
            config=config,
            numbering=numbering,
            segment=segment,
            traffic=self._traffic,
            eligibility=self._eligibility,
            health=self._health,
            ejector=self._ejector,
            workers=[ProcessStatus() for _ in self._workers],
            learner=ProcessStatus() if self._learner else None,
            telemetry_lost=lambda: sum(reader.lost for reader in self._readers),
            started_s=monotonic(),
            clock=monotonic,
            access_log=self._access_log,
        )

    async def run(self, ready_file: Path | None = None, for_s: float | None = None) -> None:
        """Serve until SIGTERM or SIGINT.

        Args:
            for_s: stop by itself after this long; never where not given.
            ready_file: is written when the router is ready, with the addresses that the system chose, as JSON.
        """
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if for_s is not None:
            loop.call_later(for_s, stop.set)
        if self._access_log is not None and self._log_socket is not None:
            loop.add_signal_handler(signal.SIGUSR1, self._access_log.reopen)
            self._log_socket.setblocking(False)
            loop.add_reader(self._log_socket, self._take_log_batches)
        runner = web.AppRunner(make_app(self._state), access_log=None)
        await runner.setup()
        await web.SockSite(runner, self._admin_socket).start()

        children = [asyncio.create_task(child.run()) for child in self._children]
        duties = [asyncio.create_task(_until_stopped(duty)) for duty in (self._pump(), self._health.run())]
        stopping = asyncio.create_task(stop.wait())
        try:
            await self._announce(stopping, ready_file)
            # A duty that ends by itself, or a child that cannot be kept running, must not go unseen.
            ended, _ = await asyncio.wait([stopping, *duties, *children], return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            stopping.cancel()
            await self._stop_children(children)
            self._pump_once()
            for duty in duties:
                duty.cancel()
            await asyncio.gather(*duties, return_exceptions=True)
            await runner.cleanup()
            if self._access_log is not None:
                self._take_log_batches()
                self._access_log.close()
            log.info("stopped")

    @property
    def _children(self) -> list[Child]:
        return [*self._workers, *([self._learner] if self._learner else [])]

    async def _announce(self, stopping: asyncio.Task[Any], ready_file: Path | None) -> None:
        give_up_s = monotonic() + _READY_WITHIN_S
        while not self._segment.heartbeat_s.all():
            if monotonic() > give_up_s:
                raise RuntimeError(f"the workers did not start within {_READY_WITHIN_S:g} s; see the log above")
            await asyncio.wait([stopping], timeout=0.01)
            if stopping.done():
                return
        admin = name_of(self._admin_socket)
        log.info("ready: listeners=%s admin=http://%s", ",".join(self._listening), admin)
        if ready_file is not None:
            content = {"listeners": self._listening, "admin": admin, "pid": os.getpid()}
            unfinished = ready_file.with_name(ready_file.name + ".tmp")
            unfinished.write_text(json.dumps(content))
            unfinished.replace(ready_file)

    async def _stop_children(self, running: list[asyncio.Task[None]]) -> None:
        log.info("stopping; requests under way have %g s", self._config.shutdown_s)
        for child in self._children:
            child.stop()
        if all(child.pid for child in self._workers):
            # Once the workers have closed theirs too, new connections are refused instead of waiting for nobody.
            for fds in self._listen_fds:
                for fd in fds:
                    os.close(fd)
        _, late = await asyncio.wait(running, timeout=self._config.shutdown_s + _CHILDREN_GRACE_S)
        if late:
            for child in self._children:
                child.kill()
            await asyncio.wait(late)

    # What goes on all the time

    async def _pump(self) -> None:
        while True:
            self._pump_once()
            await asyncio.sleep(_PUMP_S)

    def _pump_once(self) -> None:
        now_s = monotonic()
        records = np.concatenate([reader.read() for reader in self._readers])
        self._traffic.add(records, now_s)
        for index in self._ejector.release(now_s):
            self._eligibility.set_ejected(index, False)
        for ejected in self._ejector.observe(records, now_s):
            self._eligibility.set_ejected(ejected.index, True, ejected.reason)
            member = self._numbering.backends[ejected.index]
            log.warning("pool %s: backend %s ejected: %s", member.pool, member.settings.label, ejected.reason)
        self._look_after_children(now_s)

    def _look_after_children(self, now_s: float) -> None:
        heartbeats = self._segment.heartbeat_s
        for child, status, last_s in zip(self._workers, self._state.workers, heartbeats.tolist(), strict=True):
            _look_after(child, status, last_s, _HUNG_AFTER_S, now_s)
        if self._learner is not None and self._state.learner is not None:
            hung_after_s = _HUNG_AFTER_S + 10 * self._config.learner.interval_s
            _look_after(self._learner, self._state.learner, self._segment.snapshot.published_s, hung_after_s, now_s)

    def _clear_worker(self, number: int) -> None:
        """What a dead worker had in flight is in flight no more."""
        self._segment.in_flight[number] = 0
        self._segment.gauges[number] = 0
        self._segment.heartbeat_s[number] = 0

    def _take_log_batches(self) -> None:
        assert self._log_socket is not None
        assert self._access_log is not None
        with contextlib.suppress(BlockingIOError):
            while True:
                self._access_log.write_batch(self._log_socket.recv(_LOG_BUFFER_BYTES))


def _look_after(child: Child, status: ProcessStatus, last_s: float, hung_after_s: float, now_s: float) -> None:
    """Report on a process, and kill it when it hangs."""
    shown_s = max(last_s, child.since_s)
    hung = child.pid is not None and now_s - shown_s > hung_after_s
    if hung:
        if status.alive:  # said once, not at each look until the process is gone
            log.error("%s has shown no life for %.1f s and is killed", child.name, now_s - shown_s)
        child.kill()
    status.pid = child.pid
    status.alive = child.pid is not None and not hung and last_s >= child.since_s
    status.restarts = child.restarts


async def _until_stopped(duty: Coroutine[Any, Any, None]) -> None:
    """Run a duty; one that has nothing to do (health checks without any configured) waits to be cancelled."""
    await duty
    await asyncio.Event().wait()


def _unlinked_file(content: bytes) -> int:
    """A descriptor of a file in memory that has no name, and goes with the last process that holds it."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("smartlb")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.write(fd, content)
    return fd


def serve(config: Config, ready_file: Path | None = None, for_s: float | None = None) -> int:
    """Run a router until it is told to stop; returns the exit status."""
    set_up_logging("smartlb")
    try:
        supervisor = Supervisor(config)
    except (CannotListen, NoSecret, OSError) as error:
        log.error("%s", error)
        return 1
    uvloop.run(supervisor.run(ready_file, for_s))
    return 0

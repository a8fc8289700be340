"""The supervisor: owns the sockets and the generations of processes, and joins all that is off the data path."""

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Any

import numpy as np
import uvloop
from aiohttp import web

from smartlb.admin.access_logs import AccessLogs
from smartlb.admin.app import make_app
from smartlb.admin.state import NotReloaded, ProcessStatus, RouterState
from smartlb.admin.traffic import Traffic
from smartlb.config.affinity_secret import NoSecret
from smartlb.config.load import load
from smartlb.config.model import Backend, Config
from smartlb.config.numbering import Member, Renumbering
from smartlb.config.problems import ConfigError
from smartlb.control.child import Child
from smartlb.control.discovery.discovery import Discovery
from smartlb.control.generation import Generation, NotReady
from smartlb.control.sockets import CannotListen, Place, adopt, bind, close_all, given_name, listen, name_of
from smartlb.process.logs import set_up_logging
from smartlb.supervisor.estate import ADMIN, Estate
from smartlb.supervisor.privileges import CannotDrop, drop
from smartlb.supervisor.successor import NotSucceeded, Successor
from smartlb.supervisor.systemd import notify, take_inherited
from smartlb.tls.findings import about_files

log = logging.getLogger(__name__)

_PUMP_S = 0.05
"""Between two readings of the telemetry; an ejection comes at most this long after its cause."""

_HUNG_AFTER_S = 5.0
"""A process that has shown no life for this long is killed and replaced."""

_STARTS_WITHIN_S = 60.0
"""How long a process may take to its first sign of life: on a busy machine, loading its libraries takes a while."""

_REST_EVERY_S = 0.5
"""Between two looks at whether positions of backends that are gone can be given anew."""

_SUCCEEDS_WITHIN_S = 60.0
"""How long the new process of an upgrade may take until it serves."""


class Supervisor:
    """A router in its parts, from the bound sockets to the last process's end.

    Args:
        config: what to run.
        file: where `config` came from, to be read again at a reload.
        inherited: names and descriptors of sockets that are bound already, and of what an earlier process has handed
            over.

    Raises:
        CannotListen: an address is not to be had.
        CannotDrop: the process cannot become the configured user.
        NoSecret: a pool's secret for affinity is not to be had.
        OSError: the access log cannot be opened.
    """

    def __init__(self, config: Config, file: Path, inherited: Iterable[tuple[str, int]] = ()) -> None:
        self._file = file
        self._estate, sockets = Estate.of(inherited)
        admin_name = ADMIN + given_name(config.admin.bind)
        before, strangers = adopt(
            [("admin" if name == admin_name else name, fd) for name, fd in sockets],
            [Place("admin"), Place(config.admin.bind), *_places(config)],
        )
        for stranger in strangers:
            log.warning("inherited and not used: %s", stranger)
        admin = next((each for each in before if each.place in (Place("admin"), Place(config.admin.bind))), None)
        before = [each for each in before if each is not admin]
        self._listening = listen(_places(config), config.workers, before)
        self._admin_socket = admin.sockets[0] if admin else bind(config.admin.bind, shared=False)
        drop(config.user, config.group)
        self._access_logs = AccessLogs()
        self._running: dict[Generation, asyncio.Task[None]] = {}
        self._lost = 0
        self._starting: list[Generation] = []
        self._draining: list[Generation] = []
        estate = self._estate
        self._discovery = Discovery(self._take_found, estate.found)
        self._present = generation = Generation(config, self._listening, estate.memory_fd, estate.found)
        generation.drain(estate.drained)
        self._access_logs.open(generation)
        self._traffic = Traffic(generation.numbering, config.learner.latency)
        self._state = RouterState(
            config=config,
            numbering=generation.numbering,
            segment=generation.segment,
            traffic=self._traffic,
            eligibility=generation.eligibility,
            health=generation.health,
            ejector=generation.ejector,
            workers=[ProcessStatus() for _ in generation.workers],
            learner=ProcessStatus() if generation.learner else None,
            telemetry_lost=lambda: self._lost + sum(each.lost for each in self._generations),
            started_s=monotonic(),
            clock=monotonic,
            access_log=self._access_logs.of(generation),
            draining=self._draining,
            reload=self.reload,
            discovery=self._discovery,
            handing_over=estate.ready_fd >= 0,  # until the process before knows that this one serves
        )
        self._stop = asyncio.Event()
        self._superseded = False
        self._reloading = asyncio.Lock()
        self._reload_waits = False
        self._reloads: set[asyncio.Task[None]] = set()

    @property
    def _generations(self) -> list[Generation]:
        return [self._present, *self._starting, *self._draining]

    async def run(self, ready_file: Path | None = None, for_s: float | None = None) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again, SIGUSR2 lets a new process take over.

        Args:
            for_s: stop by itself after this long; never where not given.
            ready_file: is written when the router is ready, with the addresses that the system chose, as JSON.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._soon, self._reload_logged)
        loop.add_signal_handler(signal.SIGUSR2, self._soon, self._upgrade)
        loop.add_signal_handler(signal.SIGUSR1, self._access_logs.reopen)
        if for_s is not None:
            loop.call_later(for_s, self._stop.set)
        self._failed: asyncio.Future[None] = loop.create_future()
        self._runner = web.AppRunner(make_app(self._state), access_log=None)
        await self._runner.setup()
        self._admin_site = web.SockSite(self._runner, self._admin_socket)
        await self._admin_site.start()

        # Before the workers: requests should not find pools empty that are not.
        async with self._reloading:
            prepared = await self._discovery.prepare(self._present.config)
            self._take_found(prepared.found())
            self._discovery.follow(prepared)
            self._start(self._present)
            self._present.present()
        pumping = asyncio.create_task(self._pump())
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await self._announce(stopping, ready_file)
            # A duty that ends by itself, or a child that cannot be kept running, must not go unseen.
            endings: list[asyncio.Future[Any]] = [stopping, pumping, self._failed]
            ended, _ = await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
            for ending in ended:
                ending.result()
        finally:
            self._stop.set()
            self._discovery.stop()
            stopping.cancel()
            await self._stop_all()
            pumping.cancel()
            await asyncio.gather(pumping, *self._reloads, return_exceptions=True)
            await self._runner.cleanup()
            for generation in self._generations:
                self._let_go(generation)
            log.info("stopped")

    def _start(self, generation: Generation) -> asyncio.Task[None]:
        self._running[generation] = running = asyncio.create_task(generation.run())
        running.add_done_callback(partial(self._note_failure, generation))
        self._access_logs.follow(generation)
        return running

    def _note_failure(self, generation: Generation, running: asyncio.Task[None]) -> None:
        """The present generation cannot be kept running, and so neither can the router."""
        error = None if running.cancelled() else running.exception()
        if error is not None and generation is self._present and not self._failed.done():
            self._failed.set_exception(error)

    async def _announce(self, stopping: asyncio.Task[Any], ready_file: Path | None) -> None:
        waiting = asyncio.create_task(self._present.ready())
        await asyncio.wait([waiting, stopping, self._failed], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            return
        waiting.result()
        admin = name_of(self._admin_socket)
        listeners = [each.name for each in self._listening]
        log.info("ready: listeners=%s admin=http://%s", ",".join(listeners), admin)
        if ready_file is not None:
            content = {"listeners": listeners, "admin": admin, "pid": os.getpid()}
            unfinished = ready_file.with_name(ready_file.name + ".tmp")
            unfinished.write_text(json.dumps(content))
            unfinished.replace(ready_file)
        notify("READY=1", f"STATUS=listening on {', '.join(listeners)}")
        self._state.handing_over = False
        self._estate.say_ready()

    async def _stop_all(self) -> None:
        log.info("stopping; requests under way have %g s", self._present.config.shutdown_s)
        if self._superseded:
            # The admin socket is the new process's now, and its answers.
            await self._admin_site.stop()
        else:
            notify("STOPPING=1")
        for generation in self._generations:
            if self._superseded:
                generation.retire()
            else:
                generation.stop()
        if all(child.pid for child in self._present.workers):
            # Once the workers have closed theirs too, new connections are refused instead of waiting for nobody.
            close_all(self._listening)
        await asyncio.wait(self._running.values())

    # Reload

    def _soon(self, change: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a change, and leave it to the log what comes of it."""
        reloading = asyncio.create_task(change())
        self._reloads.add(reloading)
        reloading.add_done_callback(self._reloads.discard)

    async def _reload_logged(self) -> None:
        if self._reload_waits:
            return  # the one that waits has not read the file yet
        self._reload_waits = True
        async with self._reloading:
            self._reload_waits = False
            with contextlib.suppress(NotReloaded):
                await self._reload_or_say_why()

    async def reload(self) -> None:
        """Read the configuration again, and let new processes take over; all of it or nothing.

        Raises:
            NotReloaded: nothing has changed; it says why.
        """
        async with self._reloading:
            await self._reload_or_say_why()

    async def _reload_or_say_why(self) -> None:
        log.info("reloading %s", self._file)
        notify("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")
        try:
            await self._reload()
        except (ConfigError, CannotListen, NoSecret, NotReady, OSError) as error:
            problems = str(error).splitlines()
        except Exception as error:
            log.exception("internal error in a reload")
            problems = [f"internal error: {error}"]
        else:
            return
        finally:
            notify("READY=1")
        gc.collect()  # what has been made for the new configuration
        self._state.reload_failed = True
        for problem in problems:
            log.error("not reloaded, the present configuration stays: %s", problem)
        raise NotReloaded(problems)

    async def _reload(self) -> None:
        config = await asyncio.to_thread(load, self._file)
        remarks = await asyncio.to_thread(lambda: list(about_files(str(self._file), config)))
        if unusable := [remark.text for remark in remarks if remark.level >= logging.CRITICAL]:
            raise NotReady("\n".join(unusable))
        if (config.user, config.group) != (self._present.config.user, self._present.config.group):
            raise NotReady("`user` and `group` cannot change without a restart")
        with contextlib.ExitStack() as undo:
            listening = listen(_places(config), config.workers, self._listening)
            undo.callback(close_all, listening, but=self._listening)
            admin_socket = self._admin_socket
            if config.admin.bind != self._present.config.admin.bind:
                admin_socket = bind(config.admin.bind, shared=False)
                undo.callback(admin_socket.close)
            prepared = await self._discovery.prepare(config)
            generation = Generation(config, listening, await self._present.memory(), prepared.found())
            undo.callback(self._dismiss, generation)
            if self._stop.is_set():
                raise NotReady("the router stops")  # and does not know of this generation to stop it
            self._access_logs.open(generation, self._present)
            generation.follow(self._present)
            self._starting.append(generation)
            running = self._start(generation)
            ready = asyncio.create_task(generation.ready())
            await asyncio.wait([running, ready], return_when=asyncio.FIRST_COMPLETED)
            if not ready.done():
                ready.cancel()
                if self._stop.is_set():
                    raise NotReady("the router stops")
                raise NotReady(f"its processes cannot be started: {running.exception()}")
            ready.result()
            if self._stop.is_set():
                raise NotReady("the router stops")
            undo.pop_all()
        earlier, before = self._present, self._listening
        self._switch_to(generation)
        self._listening = listening
        self._discovery.follow(prepared)
        self._take_found(self._discovery.found())  # while the new generation started, backends may have come and gone
        # Whoever is told that the reload is over finds the new configuration everywhere.
        await earlier.accepts_no_more()
        close_all(before, but=listening)
        if admin_socket is not self._admin_socket:
            await self._move_admin(admin_socket)
        log.info("reloaded: generation %d serves", self._state.generation)

    # Upgrade

    async def _upgrade(self) -> None:
        """Start this command anew, with the program that is installed now, and end once it serves.

        Where it does not come to that, this process goes on as before, and the log says why.
        """
        async with self._reloading:
            if self._stop.is_set():
                return  # by an upgrade before this one, say
            # What is changed from here on would be lost: the new process begins with what there is now.
            self._state.handing_over = True
            log.info("upgrade: starting %s", " ".join(sys.orig_argv))
            try:
                estate = Estate(await self._present.memory(), self._drained(), self._discovery.found())
                sockets = [
                    *((given_name(each.place.bind), own.fileno()) for each in self._listening for own in each.sockets),
                    (ADMIN + given_name(self._present.config.admin.bind), self._admin_socket.fileno()),
                ]
                with estate.left() as given:
                    successor = Successor([*sockets, *given])
                await successor.serves(_SUCCEEDS_WITHIN_S, self._stop.is_set)
                self._superseded = True
            except (OSError, NotSucceeded) as error:
                log.error("upgrade failed, this process goes on: %s", error)
                return
            finally:
                self._state.handing_over = self._superseded
            log.info("upgrade: process %d serves, this one drains", successor.pid)
            notify(f"MAINPID={successor.pid}")
            self._stop.set()

    def _drained(self) -> list[tuple[str, str]]:
        present = self._present
        return [
            (member.pool, member.settings.label)
            for member in present.numbering.backends
            if present.eligibility.drained(member.index)
        ]

    def _switch_to(self, generation: Generation) -> None:
        """Let a generation that is ready take over; the present one drains."""
        self._pump_once()  # what has been counted so far is carried over
        earlier, state = self._present, self._state
        renumbering = Renumbering(earlier.numbering, generation.numbering)
        self._traffic = Traffic(generation.numbering, generation.config.learner.latency)
        self._traffic.take_over(state.traffic, renumbering)
        generation.take_over(earlier)
        self._starting.remove(generation)
        self._draining.append(earlier)
        self._present = generation

        state.config, state.numbering, state.segment = generation.config, generation.numbering, generation.segment
        state.traffic = self._traffic
        state.eligibility, state.health = generation.eligibility, generation.health
        state.ejector = generation.ejector
        state.workers = [ProcessStatus() for _ in generation.workers]
        state.learner = ProcessStatus() if generation.learner else None
        state.access_log = self._access_logs.of(generation)
        state.generation += 1
        state.reload_failed = False
        self._look_after_children(monotonic())
        generation.present()
        earlier.retire()

    def _dismiss(self, generation: Generation) -> None:
        """End a generation that could not take over; what it may have accepted it still serves."""
        if generation in self._starting:
            self._starting.remove(generation)
            self._draining.append(generation)
            generation.retire()
        else:
            self._let_go(generation)

    async def _move_admin(self, admin_socket: Any) -> None:
        """Serve the admin API at another address; an answer under way is still sent."""
        before, self._admin_site = self._admin_site, web.SockSite(self._runner, admin_socket)
        self._admin_socket = admin_socket
        await self._admin_site.start()
        await before.stop()
        log.info("admin API at http://%s", name_of(admin_socket))

    def _let_go(self, generation: Generation) -> None:
        """Read what a generation has left, once its processes have ended."""
        self._count(generation, monotonic())
        self._access_logs.let_go(generation)
        self._lost += generation.lost
        self._running.pop(generation, None)
        if generation in self._draining:
            self._draining.remove(generation)
        generation.close()

    # What goes on all the time

    async def _pump(self) -> None:
        rest_at_s = 0.0
        while True:
            self._pump_once()
            if monotonic() >= rest_at_s:
                rest_at_s = monotonic() + _REST_EVERY_S
                self._rest()
            if self._let_go_of_ended():
                gc.collect()  # generations hold much, and are in cycles: the collector would come by after hours
            await asyncio.sleep(_PUMP_S)

    def _let_go_of_ended(self) -> bool:
        """Let go of generations that have drained; False where there is none."""
        ended = [each for each in self._draining if self._running[each].done()]
        for generation in ended:
            self._let_go(generation)
        return bool(ended)

    def _pump_once(self) -> None:
        now_s = monotonic()
        for generation in self._generations:
            self._count(generation, now_s)
        present = self._present
        for index in present.ejector.release(now_s):
            present.eligibility.set_ejected(index, False)
        for generation in [*self._starting, *self._draining]:
            generation.follow(present)
        self._look_after_children(now_s)

    def _count(self, generation: Generation, now_s: float) -> None:
        """Take in what a generation's workers have recorded."""
        records, present = generation.records(), self._present
        telling = records
        if generation is not present and len(records):
            places = Renumbering(generation.numbering, present.numbering)
            # What a backend's name did at another address says nothing of the one that has the name now.
            telling = places.records(records[np.isin(records["backend"], [old for old, _ in places.servers])])
            self._traffic.add_outcomes(places.left_out(records))
            records = places.records(records)
        self._traffic.add(records, now_s)
        for ejected in present.ejector.observe(telling, now_s):
            present.eligibility.set_ejected(ejected.index, True, ejected.reason)
            member = present.numbering.backends[ejected.index]
            log.warning("pool %s: backend %s ejected: %s", member.pool, member.settings.label, ejected.reason)

    def _take_found(self, found: Mapping[str, list[Backend]]) -> None:
        """Let every generation have the backends that discovery has found."""
        for generation in self._generations:
            self._forget(generation, generation.find(found))

    def _rest(self) -> None:
        """Free the positions of backends that are gone."""
        for generation in self._generations:
            self._forget(generation, generation.rest())

    def _forget(self, generation: Generation, new: Iterable[Member]) -> None:
        """Count from nothing what new backends do."""
        if generation is self._present:
            for member in new:
                self._traffic.forget(member.index)

    def _look_after_children(self, now_s: float) -> None:
        present, segment = self._present, self._present.segment
        for child, status, last_s in zip(
            present.workers, self._state.workers, segment.heartbeat_s.tolist(), strict=True
        ):
            _look_after(child, status, last_s, _HUNG_AFTER_S, now_s)
        if present.learner is not None and self._state.learner is not None:
            hung_after_s = _HUNG_AFTER_S + 10 * present.config.learner.interval_s
            _look_after(present.learner, self._state.learner, segment.snapshot.published_s, hung_after_s, now_s)


def _places(config: Config) -> list[Place]:
    return [Place(listener.bind, listener.protocol == "udp") for listener in config.listeners]


def _look_after(child: Child, status: ProcessStatus, last_s: float, hung_after_s: float, now_s: float) -> None:
    """Report on a process, and kill it when it hangs."""
    started = last_s >= child.since_s
    silent_s = now_s - max(last_s, child.since_s)
    hung = child.pid is not None and silent_s > (hung_after_s if started else _STARTS_WITHIN_S)
    if hung:
        child.give_up(silent_s)
    status.pid = child.pid
    status.alive = child.pid is not None and not hung and started
    status.restarts = child.restarts


def serve(config: Config, file: Path, ready_file: Path | None = None, for_s: float | None = None) -> int:
    """Run a router until it is told to stop; returns the exit status.

    Args:
        config: what to run.
        file: where it came from.
        ready_file: see `Supervisor.run`.
        for_s: likewise.
    """
    set_up_logging("smartlb")
    try:
        supervisor = Supervisor(config, file, take_inherited())
    except (CannotListen, CannotDrop, NoSecret, OSError) as error:
        log.error("%s", error)
        return 1
    uvloop.run(supervisor.run(ready_file, for_s))
    return 0

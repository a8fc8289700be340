"""The supervisor: owns the sockets and the generations of processes, and joins all that is off the data path."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from time import monotonic
from typing import Any

import uvloop

from smartlb.admin.access_logs import AccessLogs
from smartlb.admin.state import ProcessStatus, RouterState
from smartlb.admin.traffic import Traffic
from smartlb.config.affinity_secret import NoSecret
from smartlb.config.model import Config
from smartlb.control.discovery.discovery import Discovery
from smartlb.control.generation import Generation
from smartlb.control.sockets import CannotListen, Listening, Place, adopt, bind, close_all, given_name, listen
from smartlb.process.guard import Guard
from smartlb.process.logs import set_up_logging
from smartlb.process.open_files import raise_limit
from smartlb.supervisor.admin_site import AdminSite
from smartlb.supervisor.announce import announce
from smartlb.supervisor.estate import ADMIN, Estate
from smartlb.supervisor.generations import Generations
from smartlb.supervisor.privileges import CannotDrop, drop
from smartlb.supervisor.pump import Pump
from smartlb.supervisor.reload import Reload
from smartlb.supervisor.running import Running, places_of
from smartlb.supervisor.systemd import notify, take_inherited
from smartlb.supervisor.upgrade import upgrade

log = logging.getLogger(__name__)


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
        self._estate, sockets = Estate.of(inherited)
        listening, admin = _listen(config, sockets)
        drop(config.user, config.group)
        self._running = _assembled(config, file, listening, AdminSite(admin), self._estate)
        self._reload = Reload(self._running)
        self._running.state.reload = self._reload.now
        self._changes: set[asyncio.Task[None]] = set()

    async def run(self, ready_file: Path | None = None, for_s: float | None = None) -> None:
        """Serve until SIGTERM or SIGINT; SIGHUP reads the configuration again, SIGUSR2 lets a new process take over.

        Args:
            for_s: stop by itself after this long; never where not given.
            ready_file: is written when the router is ready, with the addresses that the system chose, as JSON.
        """
        running, loop = self._running, asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._soon, self._reload.asked)
        loop.add_signal_handler(signal.SIGUSR2, self._soon, lambda: upgrade(running))
        loop.add_signal_handler(signal.SIGUSR1, running.access_logs.reopen)
        if for_s is not None:
            loop.call_later(for_s, running.stop.set)
        await running.admin.start(running.state)
        await self._start()
        pumping = asyncio.create_task(running.pump.run())
        failing = asyncio.create_task(running.generations.failure())
        stopping = asyncio.create_task(running.stop.wait())
        try:
            await self._announce([stopping, failing], ready_file)
            # A duty that ends by itself, or a child that cannot be kept running, must not go unseen.
            endings: list[asyncio.Task[Any]] = [stopping, pumping, failing]
            ended, _ = await asyncio.wait(endings, return_when=asyncio.FIRST_COMPLETED)
            for ending in ended:
                ending.result()
        finally:
            running.stop.set()
            running.discovery.stop()
            stopping.cancel()
            failing.cancel()
            await self._stop_all()
            pumping.cancel()
            await asyncio.gather(pumping, failing, *self._changes, return_exceptions=True)
            await running.admin.stop()
            for generation in running.generations:
                running.pump.let_go(generation)
            log.info("stopped")

    async def _start(self) -> None:
        running, present = self._running, self._running.generations.present
        async with running.changing:
            # Before the workers: requests should not find pools empty that are not.
            prepared = await running.discovery.prepare(present.config)
            running.pump.take_found(prepared.found())
            running.discovery.follow(prepared)
            running.generations.start(present)
            running.access_logs.follow(present)
            present.present()

    async def _announce(self, endings: Iterable[asyncio.Task[Any]], ready_file: Path | None) -> None:
        """Say that the router is ready once it is, unless it ends before."""
        waiting = asyncio.create_task(self._running.generations.present.ready())
        await asyncio.wait([waiting, *endings], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            return
        waiting.result()
        announce(self._running, self._estate, ready_file)

    def _soon(self, change: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a change, and leave it to the log what comes of it."""
        changing = asyncio.create_task(change())
        self._changes.add(changing)
        changing.add_done_callback(self._changes.discard)

    async def _stop_all(self) -> None:
        running, present = self._running, self._running.generations.present
        log.info("stopping; requests under way have %g s", present.config.shutdown_s)
        if running.superseded:
            # The admin socket is the new process's now, and its answers.
            await running.admin.accept_no_more()
        else:
            notify("STOPPING=1")
        for generation in running.generations:
            if running.superseded:
                generation.retire()
            else:
                generation.stop()
        if all(child.pid for child in present.workers):
            # Once the workers have closed theirs too, new connections are refused instead of waiting for nobody.
            close_all(running.listening)
        await running.generations.all_ended()


def _listen(config: Config, inherited: list[tuple[str, int]]) -> tuple[list[Listening], Any]:
    """The sockets of the listeners and that of the admin API, inherited ones first."""
    admin_name = ADMIN + given_name(config.admin.bind)
    before, strangers = adopt(
        [("admin" if name == admin_name else name, fd) for name, fd in inherited],
        [Place(bind="admin"), Place(bind=config.admin.bind), *places_of(config)],
    )
    for stranger in strangers:
        log.warning("inherited and not used: %s", stranger)
    of_admin = (Place(bind="admin"), Place(bind=config.admin.bind))
    admin = next((each for each in before if each.place in of_admin), None)
    listening = listen(places_of(config), config.workers, [each for each in before if each is not admin])
    return listening, admin.sockets[0] if admin else bind(config.admin.bind, shared=False)


def _assembled(config: Config, file: Path, listening: list[Listening], admin: AdminSite, estate: Estate) -> Running:
    """The parts of a router, which know each other and do nothing yet."""
    guard = Guard()
    access_logs = AccessLogs(guard)
    present = Generation(config, listening, recall_fd=estate.memory_fd, found=estate.found, guard=guard)
    present.backends.drain(estate.drained)
    access_logs.open(present)
    generations = Generations(present)
    # What discovery finds goes to the pump, which is made of what there is by then.
    discovery = Discovery(lambda found: pump.take_found(found), estate.found, guard)
    state = RouterState(
        config=config,
        numbering=present.numbering,
        segment=present.segment,
        traffic=Traffic(present.numbering, config.learner.latency),
        eligibility=present.backends.eligibility,
        health=present.backends.health,
        ejector=present.backends.ejector,
        workers=[ProcessStatus() for _ in present.workers],
        learner=ProcessStatus() if present.learner else None,
        telemetry_lost=lambda: pump.lost,
        started_s=monotonic(),
        clock=monotonic,
        access_log=access_logs.of(present),
        draining=generations.draining,
        discovery=discovery,
        handing_over=estate.ready_fd >= 0,  # until the process before knows that this one serves
        errors=guard.errors,
    )
    pump = Pump(generations, state, access_logs, guard)
    return Running(
        file=file,
        listening=listening,
        admin=admin,
        generations=generations,
        access_logs=access_logs,
        discovery=discovery,
        state=state,
        pump=pump,
        guard=guard,
    )


def serve(config: Config, file: Path, ready_file: Path | None = None, for_s: float | None = None) -> int:
    """Run a router until it is told to stop; returns the exit status.

    Args:
        config: what to run.
        file: where it came from.
        ready_file: see `Supervisor.run`.
        for_s: likewise.
    """
    set_up_logging("smartlb")
    raise_limit()
    try:
        supervisor = Supervisor(config, file, take_inherited())
    except (CannotListen, CannotDrop, NoSecret, OSError) as error:
        log.error("%s", error)
        return 1
    uvloop.run(supervisor.run(ready_file, for_s))
    return 0

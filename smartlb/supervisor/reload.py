"""A reload: the configuration is read again, and new processes take over; all of it or nothing."""

import asyncio
import contextlib
import gc
import logging
from time import monotonic_ns

from smartlb.admin.state import NotReloaded
from smartlb.config.affinity_secret import NoSecret
from smartlb.config.load import load
from smartlb.config.model import Config
from smartlb.config.problems import ConfigError
from smartlb.control.generation import Generation, NotReady
from smartlb.control.sockets import CannotListen, bind, close_all, listen
from smartlb.supervisor.running import Running, places_of
from smartlb.supervisor.systemd import notify
from smartlb.tls.findings import about_files

log = logging.getLogger(__name__)


class Reload:
    """Reloads, one at a time.

    Args:
        running: what it changes.
    """

    def __init__(self, running: Running) -> None:
        self._running = running
        self._one_waits = False

    async def asked(self) -> None:
        """Reload because of a signal, and leave it to the log what comes of it."""
        if self._one_waits:
            return  # the one that waits has not read the file yet
        self._one_waits = True
        async with self._running.changing:
            self._one_waits = False
            with contextlib.suppress(NotReloaded):
                await self._reload_or_say_why()

    async def now(self) -> None:
        """Reload.

        Raises:
            NotReloaded: nothing has changed; it says why.
        """
        async with self._running.changing:
            await self._reload_or_say_why()

    async def _reload_or_say_why(self) -> None:
        log.info("reloading %s", self._running.file)
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
        self._running.state.reload_failed = True
        for problem in problems:
            log.error("not reloaded, the present configuration stays: %s", problem)
        raise NotReloaded(problems)

    async def _reload(self) -> None:
        running = self._running
        config = await self._read()
        earlier, before = running.generations.present, running.listening
        with contextlib.ExitStack() as undo:
            listening = listen(places_of(config), config.workers, before)
            undo.callback(close_all, listening, but=before)
            admin_socket = running.admin.socket
            if config.admin.bind != earlier.config.admin.bind:
                admin_socket = bind(config.admin.bind, shared=False)
                undo.callback(admin_socket.close)
            prepared = await running.discovery.prepare(config)
            generation = Generation(
                config,
                listening,
                recall_fd=await earlier.memory(),
                found=prepared.found(),
                guard=running.guard,
            )
            undo.callback(self._dismiss, generation)
            self._refuse_to_start_at_the_end()  # which would not know of this generation
            running.access_logs.open(generation, earlier)
            generation.backends.follow(earlier.backends)
            await self._started(generation)
            running.pump.switch_to(generation)
            undo.pop_all()
        running.listening = listening
        running.discovery.follow(prepared)
        # While the new generation started, backends may have come and gone.
        running.pump.take_found(running.discovery.found())
        # Whoever is told that the reload is over finds the new configuration everywhere.
        await earlier.accepts_no_more()
        close_all(before, but=listening)
        if admin_socket is not running.admin.socket:
            await running.admin.move(admin_socket)
        log.info("reloaded: generation %d serves", running.state.generation)

    async def _read(self) -> Config:
        file, present = self._running.file, self._running.generations.present.config
        config = await asyncio.to_thread(load, file)
        remarks = await asyncio.to_thread(lambda: list(about_files(str(file), config)))
        if unusable := [remark.text for remark in remarks if remark.level >= logging.CRITICAL]:
            raise NotReady("\n".join(unusable))
        if (config.user, config.group) != (present.user, present.group):
            raise NotReady("`user` and `group` cannot change without a restart")
        return config

    async def _started(self, generation: Generation) -> None:
        """Start the processes of a generation, and wait until they serve."""
        ends = self._running.generations.start(generation)
        self._running.access_logs.follow(generation)
        ready = asyncio.create_task(generation.ready())
        await asyncio.wait([ends, ready], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            ready.cancel()
            self._refuse_to_start_at_the_end()
            raise NotReady(f"its processes cannot be started: {ends.exception()}")
        ready.result()
        self._refuse_to_start_at_the_end()

    def _refuse_to_start_at_the_end(self) -> None:
        if self._running.stop.is_set():
            raise NotReady("the router stops")

    def _dismiss(self, generation: Generation) -> None:
        """End a generation that could not take over."""
        if generation in self._running.generations.starting:
            self._running.generations.dismiss(generation)
        elif generation is not self._running.generations.present:
            self._running.pump.let_go(generation)

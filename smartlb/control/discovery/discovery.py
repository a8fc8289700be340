"""Looks after the sources of all pools, and says what they have found."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic

from smartlb.config.discovery import Discovery as Settings
from smartlb.config.model import Backend, Config
from smartlb.control.discovery.positions import distinct
from smartlb.control.discovery.registry import kind_of, source_of
from smartlb.control.discovery.source import NotFound, Source
from smartlb.process.guard import Guard

log = logging.getLogger(__name__)

_FIRST_WITHIN_S = 5.0
"""How long a start or a reload waits for the first answer of a new source."""


class NotChanged(Exception):
    """A backend could not be added or removed; says why."""


@dataclass(slots=True)
class Standing:
    """How it is with the discovery of a pool.

    Attributes:
        settings: of the configuration.
        backends: that were found last.
        failure: why the last look failed; empty where it did not.
        failures: looks that failed so far.
        answered_s: monotonic time of the last answer; None before the first.
    """

    settings: Settings
    backends: list[Backend] = field(default_factory=list)
    failure: str = ""
    failures: int = 0
    answered_s: float | None = None

    @property
    def kind(self) -> str:
        """``dns``, ``file`` or ``api``."""
        return kind_of(self.settings)


class Discovery:
    """The sources of the present configuration.

    Args:
        on_found: is called with what has changed: all backends of a pool, by pool.
        found: what an earlier process has found, by pool.
        guard: around what is done with what was found.

    Attributes:
        standings: by pool.
    """

    def __init__(
        self,
        on_found: Callable[[Mapping[str, list[Backend]]], None],
        found: Mapping[str, list[Backend]] | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._guard = guard or Guard()
        self._on_found = on_found
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._earlier = dict(found or {})
        self.standings: dict[str, Standing] = {}

    def found(self) -> dict[str, list[Backend]]:
        """The backends that were found last, by pool."""
        return {**self._earlier, **{name: list(each.backends) for name, each in self.standings.items()}}

    async def prepare(self, config: Config) -> "Prepared":
        """Look once at every source that is new in a configuration, or at none for very long; changes nothing yet."""
        standings: dict[str, Standing] = {}
        sources: dict[str, Source] = {}
        for name, pool in config.pools.items():
            settings, known = pool.discovery, self.standings.get(name)
            if settings is None:
                continue
            if known is not None and known.settings == settings:
                standings[name] = known
                continue
            # Better those of before than none, until the source says otherwise.
            standings[name] = Standing(settings, self.found().get(name, []))
            if (source := source_of(settings)) is not None:
                sources[name] = source
        if sources:
            looks = [asyncio.create_task(self._look(name, standings[name], each)) for name, each in sources.items()]
            _, late = await asyncio.wait(looks, timeout=_FIRST_WITHIN_S)
            for look in late:
                look.cancel()
        return Prepared(standings, sources)

    def follow(self, prepared: "Prepared") -> None:
        """From now on look after these sources."""
        for name in [*self._tasks]:
            if prepared.standings.get(name) is not self.standings.get(name):
                self._tasks.pop(name).cancel()
        for name, standing in prepared.standings.items():
            earlier = self.standings.get(name)
            if earlier is not None and earlier is not standing and standing.answered_s is None:
                # Since it was prepared, the admin API may have been told of others, or the earlier source found them.
                standing.backends = earlier.backends
        self._earlier = {}
        self.standings = prepared.standings
        for name, source in prepared.sources.items():
            self._tasks[name] = asyncio.create_task(self._watch(name, self.standings[name], source))

    def stop(self) -> None:
        """Look no more."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()

    async def _watch(self, pool: str, standing: Standing, source: Source) -> None:
        while True:
            await asyncio.sleep(source.again_s)
            if await self._look(pool, standing, source):
                with self._guard("taking in what was discovered"):
                    self._on_found({pool: list(standing.backends)})

    async def _look(self, pool: str, standing: Standing, source: Source) -> bool:
        """Look once; whether other backends were found."""
        failure = "internal error; see the log"
        backends, answered = None, False
        with self._guard("a look for backends"):
            try:
                backends = await source.look()
                answered = True
            except NotFound as error:
                failure = str(error)
        if answered:
            if standing.failure:
                log.info("pool %s: discovery answers again", pool)
            standing.failure = ""
            standing.answered_s = monotonic()
            if backends is None or backends == standing.backends:
                return False
            standing.backends = backends
            return True
        standing.failures += 1
        if failure != standing.failure:
            log.warning("pool %s: discovery failed, %d backends stay: %s", pool, len(standing.backends), failure)
        standing.failure = failure
        return False

    # Told by the admin API

    def add(self, pool: str, backend: Backend, static: list[Backend]) -> None:
        """Add a backend to a pool, or change the one at the same address.

        Args:
            pool: its name.
            backend: to add.
            static: backends that the pool has by the configuration.

        Raises:
            NotChanged: the pool takes none from the API, or has its name or no room.
        """
        standing = self._told(pool)
        others = [each for each in standing.backends if each.address != backend.address]
        if any(backend.label == each.label or backend.address == each.address for each in static):
            raise NotChanged(f"{backend.label!r} is a backend of pool {pool} by the configuration")
        if any(backend.label == each.label for each in others):
            raise NotChanged(f"pool {pool} has a backend {backend.label!r} at another address; remove it first")
        if len(others) >= standing.settings.max_backends:
            raise NotChanged(f"pool {pool} has room for {standing.settings.max_backends}: discovery.max_backends")
        standing.backends = [*others, backend]
        self._on_found({pool: list(standing.backends)})

    def remove(self, pool: str, name: str, static: list[Backend]) -> None:
        """Take out a backend that was added.

        Raises:
            NotChanged: there is none of that name.
        """
        standing = self._told(pool)
        taken = {each.label for each in static}
        shown = [distinct(each, taken).label for each in standing.backends]
        others = [each for each, its in zip(standing.backends, shown, strict=True) if its != name]
        if len(others) == len(standing.backends):
            known = ", ".join(shown) or "none"
            raise NotChanged(f"pool {pool} has no backend {name!r} that was added; known: {known}")
        standing.backends = others
        self._on_found({pool: list(others)})

    def _told(self, pool: str) -> Standing:
        standing = self.standings.get(pool)
        if standing is None or standing.settings.api is None:
            raise NotChanged(f"pool {pool} takes no backends from the admin API; it needs `discovery: {{api: {{}}}}`")
        return standing


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `Discovery.prepare` found, for `Discovery.follow`.

    Attributes:
        standings: by pool.
        sources: those that are new.
    """

    standings: dict[str, Standing]
    sources: dict[str, Source]

    def found(self) -> dict[str, list[Backend]]:
        """The backends, by pool."""
        return {name: list(standing.backends) for name, standing in self.standings.items()}

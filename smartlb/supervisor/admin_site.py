"""Where the admin API is served."""

import logging
import socket

from aiohttp import web

from smartlb.admin.app import make_app
from smartlb.admin.state import RouterState
from smartlb.control.sockets import name_of

log = logging.getLogger(__name__)


class AdminSite:
    """Serves it at one address, which may change.

    Args:
        listening: its socket.

    Attributes:
        socket: the present one.
    """

    def __init__(self, listening: socket.socket) -> None:
        self.socket = listening
        self._runner: web.AppRunner | None = None
        self._site: web.SockSite | None = None

    @property
    def name(self) -> str:
        """HOST:PORT."""
        return name_of(self.socket)

    async def start(self, state: RouterState) -> None:
        """Serve the state of a router."""
        self._runner = web.AppRunner(make_app(state), access_log=None)
        await self._runner.setup()
        self._site = web.SockSite(self._runner, self.socket)
        await self._site.start()

    async def move(self, listening: socket.socket) -> None:
        """Serve at another address; an answer under way is still sent."""
        assert self._runner is not None
        before, self._site = self._site, web.SockSite(self._runner, listening)
        self.socket = listening
        await self._site.start()
        if before is not None:
            await before.stop()
        log.info("admin API at http://%s", self.name)

    async def accept_no_more(self) -> None:
        """Leave the address to the process that has taken over; an answer under way is still sent."""
        if self._site is not None:
            await self._site.stop()

    async def stop(self) -> None:
        """End all answers."""
        if self._runner is not None:
            await self._runner.cleanup()

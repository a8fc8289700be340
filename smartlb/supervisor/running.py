"""The parts of a router that runs."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from smartlb.admin.access_logs import AccessLogs
from smartlb.admin.state import RouterState
from smartlb.config.model import Config
from smartlb.control.discovery.discovery import Discovery
from smartlb.control.sockets import Listening, Place
from smartlb.process.guard import Guard
from smartlb.supervisor.admin_site import AdminSite
from smartlb.supervisor.generations import Generations
from smartlb.supervisor.pump import Pump


@dataclass(slots=True, kw_only=True)
class Running:
    """What the supervisor holds, a reload changes, and an upgrade hands over.

    Attributes:
        file: of the configuration.
        listening: the sockets of each listener.
        admin: where the admin API is served.
        generations: of processes.
        access_logs: of the generations.
        discovery: of backends.
        state: what the admin API shows.
        pump: telemetry and all that goes on all the time.
        guard: around what may go wrong without ending the router.
        stop: is set once the router is to end.
        changing: is held during a start, a reload and an upgrade, which come one after the other.
        superseded: whether another process has taken over.
    """

    file: Path
    listening: list[Listening]
    admin: AdminSite
    generations: Generations
    access_logs: AccessLogs
    discovery: Discovery
    state: RouterState
    pump: Pump
    guard: Guard
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    superseded: bool = False


def places_of(config: Config) -> list[Place]:
    """Where a configuration's listeners are."""
    return [Place(bind=listener.bind, udp=listener.protocol == "udp") for listener in config.listeners]

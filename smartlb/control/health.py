"""Active health checks: a GET, a gRPC call or a connection at an interval, and which runs of answers change a state."""

import asyncio
import logging
import os
from collections.abc import Callable
from random import Random
from typing import Any

import aiohttp
from yarl import URL

from smartlb import __version__
from smartlb.config.model import Config, HealthCheck
from smartlb.config.numbering import Member, Numbering
from smartlb.control import grpc_check, raw_check
from smartlb.control.rise_fall import Health, RiseFall
from smartlb.process.guard import Guard
from smartlb.tls.backends import reloading_backend_context
from smartlb.tls.reason import reason_of

log = logging.getLogger(__name__)

OnChange = Callable[[int, bool, str], None]
"""``on_change(backend_index, healthy, reason)``; the reason is in words."""


class HealthChecker:
    """Checks every backend of every pool that has a `health_check`.

    Each check makes a connection of its own, as a new client would: an idle one that still works says little
    about a server that accepts no more. Redirects are not followed and no proxy of the environment is used.

    Args:
        config: the router's configuration.
        numbering: of the same configuration.
        on_change: called in the event loop after each change of a backend's state.
        rng: spreads the checks over their interval.
        guard: around each check, so that one that fails in an unforeseen way says nothing of its backend, and the
            others go on.
    """

    def __init__(
        self, config: Config, numbering: Numbering, on_change: OnChange, rng: Random, guard: Guard | None = None
    ) -> None:
        self._guard = guard or Guard()
        self._on_change = on_change
        self._rng = rng
        self._checks: dict[int, tuple[Member, HealthCheck]] = {}
        for member in numbering.backends:
            check = config.pools[member.pool].health_check
            if check is not None and member.present:
                self._checks[member.index] = (member, check)
        # A backend that expects a PROXY header would take a check without one for garbage.
        self._headers = {
            name: raw_check.PROXY_LOCAL[pool.send_proxy_protocol] if pool.send_proxy_protocol else b""
            for name, pool in config.pools.items()
        }
        self._tls = {
            name: (reloading_backend_context(pool.tls, http2=pool.protocol == "http2"), pool.tls.server_name)
            for name, pool in config.pools.items()
            if pool.tls is not None
        }
        self._pools = {name: pool.health_check for name, pool in config.pools.items() if pool.health_check is not None}
        self._states = {index: RiseFall(check.rise, check.fall) for index, (_, check) in self._checks.items()}
        self._group: asyncio.TaskGroup | None = None
        self._session: aiohttp.ClientSession | None = None
        self._watches: dict[int, asyncio.Task[None]] = {}

    def health(self, index: int) -> Health:
        """What the checks say of a backend; unknown where its pool has none."""
        return self._states[index].state if index in self._states else Health.UNKNOWN

    def take_over(self, index: int, earlier: "HealthChecker", its_index: int) -> None:
        """Go on from what another checker knows of a backend, where both check it."""
        if index in self._states and its_index in earlier._states:
            self._states[index].take_over(earlier._states[its_index])

    def seat(self, member: Member, *, anew: bool) -> None:
        """Discovery has found or lost a backend; to check one that is there, and no other.

        Args:
            member: as it is now.
            anew: whether nothing is known of it.
        """
        check = self._pools.get(member.pool)
        if check is None:
            return
        index = member.index
        if (watch := self._watches.pop(index, None)) is not None:
            watch.cancel()
        self._checks.pop(index, None)
        if anew or index not in self._states:
            self._states[index] = RiseFall(check.rise, check.fall)
        if member.present:
            self._checks[index] = (member, check)
            self._begin(member, check)

    def _begin(self, member: Member, check: HealthCheck) -> None:
        if self._group is not None and self._session is not None:
            self._watches[member.index] = self._group.create_task(self._watch(self._session, member, check))

    async def run(self) -> None:
        """Check until cancelled; returns at once where no pool has a health check.

        The first checks start at once, the second ones after a random part of the interval, and so they stay
        spread. A check that takes longer than the interval delays the next one.
        """
        if not self._pools:
            return
        # The default limit of connections would make checks wait for each other.
        connector = aiohttp.TCPConnector(limit=0, force_close=True, use_dns_cache=False)
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": f"smartlb/{__version__} (health check)"},
            ) as session,
            asyncio.TaskGroup() as group,
        ):
            self._group, self._session = group, session
            for member, check in self._checks.values():
                self._begin(member, check)
            try:
                await asyncio.Event().wait()  # more backends may be found
            finally:
                self._group = self._session = None  # those that are found from now on are not checked here

    async def _watch(self, session: aiohttp.ClientSession, member: Member, check: HealthCheck) -> None:
        clock = asyncio.get_running_loop().time
        pause_s = self._rng.random() * check.interval_s
        while True:
            started_s = clock()
            with self._guard("a health check"):
                passed, words = await self._check(session, member, check)
                self._take_in(member, passed, words)
            await asyncio.sleep(max(0.0, started_s + pause_s - clock()))
            pause_s = check.interval_s

    async def _check(self, session: aiohttp.ClientSession, member: Member, check: HealthCheck) -> tuple[bool, str]:
        """One check: whether it passed, and what happened in words."""
        address, header = member.settings.address, self._headers[member.pool]
        context, server_name = None, None
        if check.kind != "tcp" and member.pool in self._tls:
            reloading, server_name = self._tls[member.pool]
            reloading.refresh(asyncio.get_running_loop().time())
            context = reloading.value
            if context is None:
                return False, "the certificates of its pool cannot be loaded"
        try:
            if check.kind == "tcp":
                await raw_check.connect(address, check, header)
                return True, "accepts connections"
            if check.kind == "grpc":
                await grpc_check.ask(address, check, context, server_name)
                return True, "serves"
            if header:
                return _judge(await raw_check.ask(address, check, header, context, server_name), check)
        except raw_check.CheckFailed as failure:
            return False, str(failure)
        if context is None:
            return await _ask(session, f"http://{address}", check)
        return await _ask(session, f"https://{address}", check, ssl=context, server_hostname=server_name)

    def _take_in(self, member: Member, passed: bool, words: str) -> None:
        state = self._states[member.index]
        if not state.observe(passed):
            return
        reason = f"{words} ({state.run} in a row)"
        log.log(
            logging.INFO if passed else logging.WARNING,
            "backend %s of pool %s is %s: %s",
            member.settings.label,
            member.pool,
            state.state,
            reason,
        )
        self._on_change(member.index, passed, reason)


async def _ask(session: aiohttp.ClientSession, origin: str, check: HealthCheck, **tls: Any) -> tuple[bool, str]:
    """One check by a GET."""
    address = origin.partition("://")[2]
    try:
        async with session.get(
            URL(f"{origin}{check.path}", encoded=True),
            allow_redirects=False,
            headers={"Host": check.host} if check.host else None,
            timeout=aiohttp.ClientTimeout(total=check.timeout_s),
            **tls,
        ) as response:
            status = response.status
    except TimeoutError:
        return False, f"no answer to GET {check.path} within {check.timeout_s:g} s"
    except aiohttp.ClientConnectorDNSError:
        return False, f"the host of {address} cannot be resolved"
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
        return False, reason_of(error.os_error)
    except aiohttp.ClientConnectorError as error:
        # asyncio's own words, "Connect call failed", do not say why.
        why = os.strerror(error.errno) if error.errno else error.os_error
        return False, f"cannot connect to {address}: {why}"
    except aiohttp.ServerDisconnectedError:
        return False, f"closed the connection without an answer to GET {check.path}"
    except aiohttp.ClientResponseError as error:
        return False, f"no valid HTTP answer to GET {check.path}: {error.message}"
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a host that cannot be a name
        return False, f"GET {check.path} failed: {error or type(error).__name__}"
    return _judge(status, check)


def _judge(status: int, check: HealthCheck) -> tuple[bool, str]:
    if any(low <= status <= high for low, high in map(_bounds, check.expected_status)):
        return True, f"answered {status}"
    return False, f"answered {status} to GET {check.path}, expected {' or '.join(check.expected_status)}"


def _bounds(statuses: str) -> tuple[int, int]:
    """``"200-399"`` as numbers, ``"200"`` likewise."""
    low, _, high = statuses.partition("-")
    return int(low), int(high or low)

"""The addresses of backends that are given by a host name.

The system's resolver blocks, so an event loop asks it on threads, of which libuv has four for everything. If each
connection asked anew, one slow name server would keep them all, and no pool could connect. So answers are kept for a
short while, each name is looked up once at a time however many wait for it, and a look-up has a thread of its own.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from threading import Thread
from time import monotonic
from typing import Any

Address = tuple[int, Any]
"""Family, and where a socket of it connects to: ``(host, port)``, for IPv6 ``(host, port, flow, scope)``."""

Resolver = Callable[[str], Awaitable[Sequence[Address]]]
"""Looks a host up; of its addresses the ports mean nothing. Raises `OSError` or `UnicodeError` where there are none."""

FRESH_S = 5.0
"""How long an answer is used without another look-up. The system's resolver does not tell how long one holds; names
that move their traffic by DNS seldom say less, and even so a busy pool asks once in thousands of connections."""

STALE_S = 300.0
"""How long an answer is used while look-ups run or fail: time to restart a name server. An address that a name had so
recently is better than none, and health checks find out where it is not."""

FAILED_S = 1.0
"""How long a failure is believed, so that it costs a look-up a second and not one for each request."""

MOST_LOOKUPS = 64
"""Look-ups under way at once; further ones wait. Each takes a thread, and about 100 KB."""


class _Known:
    """What is known of one name.

    Attributes:
        addresses: of the last answer.
        answered_s: when that came.
        failure: of the last look-up, where it failed.
        failed_s: when it did.
        lookup: the one under way.
    """

    __slots__ = ("addresses", "answered_s", "failed_s", "failure", "lookup")

    def __init__(self) -> None:
        self.addresses: Sequence[Address] = ()
        self.answered_s = float("-inf")
        self.failure: OSError | UnicodeError = OSError("it has not been looked up")
        self.failed_s = float("-inf")
        self.lookup: asyncio.Task[None] | None = None


class Names:
    """Looks names up for all pools of a process, and remembers what it found.

    Args:
        resolver: looks a name up; the system's where not given.
        clock: monotonic time in seconds.
    """

    def __init__(self, resolver: Resolver | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._resolver = resolver or _ask_the_system
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._room = asyncio.Semaphore(MOST_LOOKUPS)

    async def addresses(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a host, to be tried in their order; at least one.

        An address is its own answer. A name's answer of the last `FRESH_S` seconds is given at once; an older one, up
        to `STALE_S`, too, while a look-up for the next ones runs. Only where there is neither does the caller wait, as
        long as he likes: the look-up goes on for others when he gives up.

        Raises:
            OSError: the name has no address, or cannot be looked up now.
            UnicodeError: it cannot be a name.
        """
        literal = _literal(host, port)
        if literal is not None:
            return (literal,)
        now_s = self._clock()
        known = self._known.get(host)
        if known is None:
            self._forget(now_s)
            known = self._known[host] = _Known()
        if now_s >= known.answered_s + FRESH_S and now_s >= known.failed_s + FAILED_S and known.lookup is None:
            known.lookup = asyncio.get_running_loop().create_task(self._look_up(host, known))
        if now_s >= known.answered_s + STALE_S:
            if known.lookup is not None:
                await asyncio.shield(known.lookup)
            if known.failed_s >= known.answered_s:
                raise type(known.failure)(*known.failure.args)
        return [(family, (target[0], port, *target[2:])) for family, target in known.addresses]

    async def _look_up(self, host: str, known: _Known) -> None:
        try:
            async with self._room:
                found = await self._resolver(host)
            if not found:
                raise OSError("its name has no address")
        except (OSError, UnicodeError) as error:
            known.failure, known.failed_s = error, self._clock()
        else:
            known.addresses, known.answered_s = found, self._clock()
        finally:
            known.lookup = None

    def _forget(self, now_s: float) -> None:
        """Forget the names that nobody asks for any more; backends that discovery found come and go."""
        for host, known in list(self._known.items()):
            if known.lookup is None and now_s >= max(known.answered_s + STALE_S, known.failed_s + FAILED_S):
                del self._known[host]


def _literal(host: str, port: int) -> Address | None:
    """The address that a host is; None where it is a name."""
    with suppress(OSError, ValueError):  # ValueError: a NUL in it
        socket.inet_pton(socket.AF_INET, host)
        return socket.AF_INET, (host, port)
    address, _, zone = host.partition("%")
    with suppress(OSError, ValueError):
        socket.inet_pton(socket.AF_INET6, address)
        scope = 0 if not zone else int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
        return socket.AF_INET6, (address, port, 0, scope)
    return None


async def _ask_the_system(host: str) -> Sequence[Address]:
    """Look a host up by the system's resolver, on a thread that holds up no other, nor the end of the process."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Sequence[Address]] = loop.create_future()

    def found(addresses: Sequence[Address]) -> None:
        if not answer.done():
            answer.set_result(addresses)

    def failed(error: OSError | UnicodeError) -> None:
        if not answer.done():
            answer.set_exception(error)

    def ask() -> None:
        with suppress(RuntimeError):  # the loop has ended meanwhile
            try:
                answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except (OSError, UnicodeError) as error:
                loop.call_soon_threadsafe(failed, error)
            else:
                loop.call_soon_threadsafe(found, [(family, target) for family, *_, target in answers])

    Thread(target=ask, name=f"look up {host}", daemon=True).start()
    return await answer

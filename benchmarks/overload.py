"""What a request costs while backends are at their limit: ``python -m benchmarks.overload [--json OUT]``.

Requests go through a worker's data path without sockets. One backend may have one request at a time, and either has
none or has one that it never answers, so that it is full all the time: the same router otherwise. Beside it a router
whose backends are all full, so that every request waits in the queue.
"""

import sys
from collections import deque
from collections.abc import Sequence
from functools import partial
from operator import truediv

from benchmarks.rig.bare_worker import REQUEST, RESPONSE, BareWorker, Client
from benchmarks.rig.cases import Case, Rows, counted, paired, run
from benchmarks.rig.goals import Goal, at_most
from benchmarks.rig.processes import BenchmarkError
from smartlb.upstream.http1 import BackendConnection

BACKENDS = (10, 100)
MOST_TIMES = 1.1
"""What a request may cost while one backend is full, times what it costs otherwise."""

_CALLS = 500
_WAITING = 10
"""Requests in the queue where all backends are full."""


def _addresses(backends: int) -> list[str]:
    return [f"127.0.0.1:{10_000 + number}" for number in range(backends)]


class OneLimited:
    """A router whose first backend may have one request at a time.

    Attributes:
        bare: the router.
    """

    def __init__(self, backends: int) -> None:
        self._backends = backends
        first, *others = _addresses(backends)
        self.bare = BareWorker({"backends": [{"address": first, "max_in_flight": 1}, *others]})
        self._held: BackendConnection | None = None

    def serve(self, full: bool, requests: int) -> None:
        """Serve requests while the first backend is full, or is not."""
        if full and self._held is None:
            self._held = self._hold()
        elif not full and self._held is not None:
            self._held.data_received(RESPONSE)
            self._held = None
        self.bare.serve(requests)

    def _hold(self) -> BackendConnection:
        """Have the first backend get a request, which nobody answers for now."""
        self.bare.allow([0])
        self.bare.client().send(REQUEST)
        self.bare.allow(range(self._backends))
        return self.bare.asked.popleft()


class AllFull:
    """A router whose backends may have one request each, with more clients than that: some always wait.

    Attributes:
        bare: the router.
    """

    def __init__(self, backends: int) -> None:
        of_each = [{"address": address, "max_in_flight": 1} for address in _addresses(backends)]
        self.bare = BareWorker({"backends": of_each})
        self._clients = deque(self.bare.client() for _ in range(backends + _WAITING))
        for client in self._clients:
            client.send(REQUEST)

    def serve(self, requests: int) -> None:
        """Have one backend after another answer, and whoever got the answer send the next request."""
        clients, asked = self._clients, self.bare.asked
        for _ in range(requests):
            # Backends are asked in the order of the clients, and answer in that order.
            client: Client = clients.popleft()
            before = client.answers
            asked.popleft().data_received(RESPONSE)
            if client.answers == before:
                raise BenchmarkError("a request that waited was overtaken")
            client.send(REQUEST)
            clients.append(client)


def _label(backends: int, full: str) -> str:
    return f"{backends} backends, {full} full"


def cases() -> dict[str, Case]:
    """All of them, by number of backends."""
    found: dict[str, Case] = {}
    for backends in BACKENDS:
        limited = OneLimited(backends)
        found[_label(backends, "none")] = partial(limited.serve, False)
        found[_label(backends, "one")] = partial(limited.serve, True)
        found[_label(backends, "all")] = AllFull(backends).serve
    return found


def goals(rows: Rows) -> list[Goal]:
    """What one full backend should cost at most."""
    found = []
    for backends in BACKENDS:
        one, none = _label(backends, "one"), _label(backends, "none")
        of = f"for a request with 1 of {backends} backends full, times those with none"
        times, counts = (compare(rows, one, none, truediv) for compare in (paired, counted))
        found += [at_most(f"µs {of}", times, MOST_TIMES), at_most(f"instructions {of}", counts, MOST_TIMES)]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    return run("overload", __doc__, cases(), _CALLS, "a request", goals, arguments)


if __name__ == "__main__":
    sys.exit(main())

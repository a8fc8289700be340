"""The first line of an HTTP request, as logs cite it."""

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import UNKNOWN
from simulator.workload.traces.timestamps import log_s


def target_of(request: str) -> str:
    """The target of ``GET /path HTTP/1.1``; browsers of old sent no version, some clients send spaces in targets."""
    _, _, target = request.partition(" ")
    before, found, _ = target.rpartition(" HTTP/")
    return before if found else target


def is_request(request: str) -> bool:
    """Whether there was one: ``-`` and the like stand for connections on which none came."""
    return len(request) > 1 and not request.startswith("<")


def logged(client: str, at: str, request: str, size: str) -> Entry | None:
    """The entry of a line of a web server's log, from its fields as text; None for a connection without a request."""
    if not is_request(request):
        return None
    answered = 0 if size == "-" else int(size)
    return Entry(log_s(at), None, UNKNOWN, 0, answered, 0, 0, client, target_of(request))

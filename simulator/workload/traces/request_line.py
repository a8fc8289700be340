"""The first line of an HTTP request, as logs cite it."""


def target_of(request: str) -> str:
    """The target of ``GET /path HTTP/1.1``; browsers of old sent no version, some clients send spaces in targets."""
    _, _, target = request.partition(" ")
    before, found, _ = target.rpartition(" HTTP/")
    return before if found else target


def is_request(request: str) -> bool:
    """Whether there was one: ``-`` and the like stand for connections on which none came."""
    return len(request) > 1 and not request.startswith("<")

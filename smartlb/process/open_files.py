"""How many files, sockets among them, a process may have open."""

import logging
import resource
import sys

log = logging.getLogger(__name__)


def raise_limit() -> None:
    """Let this process, and those that it starts, have as many files open as the system allows.

    The soft limit is low for programs that use select(2), which knows no descriptor above 1,023; servers are meant to
    raise it (systemd.exec(5), LimitNOFILE=). Where the system refuses, it stays as it is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError) as error:  # macOS has a hard limit without an end, and takes no such soft one
        log.warning("the limit of open files stays at %d: %s", soft, error)


def limit() -> int:
    """How many files this process may have open now."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def hard_limit() -> int:
    """How many it may have open once `raise_limit` was called."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def _number(value: int) -> int:
    return sys.maxsize if value == resource.RLIM_INFINITY else value

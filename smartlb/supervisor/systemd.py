"""The few lines of systemd's protocols that the router speaks: sd_listen_fds(3) and sd_notify(3)."""

import contextlib
import os
import socket

_FIRST_FD = 3


def take_inherited() -> list[tuple[str, int]]:
    """Names and descriptors that this process was started with, once; whatever it starts itself does not get them.

    Whoever passes descriptors sets LISTEN_PID, by which a process knows that they are meant for it.
    """
    pid, count, names = (os.environ.pop(name, "") for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"))
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    fds = range(_FIRST_FD, _FIRST_FD + int(count))
    for fd in fds:
        os.set_inheritable(fd, False)
    given = names.split(":") if names else []
    return [(given[index] if index < len(given) else "", fd) for index, fd in enumerate(fds)]


def notify(*assignments: str) -> None:
    """Tell the service manager, if there is one, such as ``READY=1``."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address[0] == "@":  # how an abstract name is written in the environment
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.sendto("\n".join(assignments).encode(), address)

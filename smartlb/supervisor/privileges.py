"""From root to a user that may do less, once the addresses are bound."""

import grp
import os
import pwd
import sys


class CannotDrop(Exception):
    """The process cannot become the configured user; the message says why, and what to do."""


def drop(user: str | None, group: str | None) -> None:
    """Become a user, with its groups, for good; the processes started from now on are that user's too.

    Args:
        user: name; None stays who it is.
        group: name; the user's own group where not given.

    Raises:
        CannotDrop: there is no such user or group, or this process may not.
    """
    if user is None:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise CannotDrop(f"user: there is no user {user!r} on this machine") from None
    try:
        gid = entry.pw_gid if group is None else grp.getgrnam(group).gr_gid
    except KeyError:
        raise CannotDrop(f"group: there is no group {group!r} on this machine") from None
    if os.geteuid() == entry.pw_uid and os.getegid() == gid:
        return
    if os.geteuid() != 0:
        raise CannotDrop(
            f"user: only root can become {user!r} of group {gid}, and this process is user {os.geteuid()} of group "
            f"{os.getegid()}; leave out `user`, or start as root"
        )
    try:
        os.initgroups(user, gid)
        os.setgid(gid)
        os.setuid(entry.pw_uid)
    except OSError as error:
        raise CannotDrop(f"user: cannot become {user!r}: {error.strerror}") from None
    if not os.access(sys.executable, os.X_OK):
        raise CannotDrop(f"user: {user!r} may not run {sys.executable}, so no worker could start")

"""What a configuration asks of the system's limit of open files."""

from smartlb.config.model import Config
from smartlb.limits.open_files import Room, admitted, needed


def wanted_by(config: Config) -> Room:
    """What each worker is to admit."""
    udp = any(listener.protocol == "udp" for listener in config.listeners)
    return Room(config.limits.connections, config.limits.udp_sessions if udp else 0)


def room_of(config: Config, open_files: int) -> Room:
    """What each worker admits where it may have so many open files."""
    return admitted(open_files, wanted_by(config), len(config.listeners))


def shortage(config: Config, open_files: int) -> str:
    """In words what a limit of open files keeps from the configuration; empty where nothing.

    Args:
        config: with the limits of clients.
        open_files: that a worker may have at most.
    """
    wanted, room = wanted_by(config), room_of(config, open_files)
    enough = needed(wanted, len(config.listeners))
    if room == wanted:
        return ""
    udp = f" and {room.udp_sessions} UDP sessions instead of {wanted.udp_sessions}" if wanted.udp_sessions else ""
    return (
        f"the system allows a worker {open_files} open files, of which it needs {enough}: "
        f"it admits {room.connections} connections of clients instead of {wanted.connections}{udp}; raise the hard "
        "limit (ulimit -Hn, or LimitNOFILE= of systemd), or lower the configured limits"
    )

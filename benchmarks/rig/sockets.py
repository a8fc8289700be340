"""Whose connections are whose, by what /proc says."""

from pathlib import Path


def client_ports(pid: int) -> set[int]:
    """Return the far ports of the IPv4 connections that `pid` holds: of those from loopback, the clients' own ports."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = str(descriptor.readlink())
        except OSError:
            continue  # It was closed since the directory was read.
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    ports = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[9] in inodes:
            ports.add(int(fields[2].rpartition(":")[2], 16))
    return ports

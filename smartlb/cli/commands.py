"""What the command line does with a configuration without serving it."""

import json
import logging
import sys
from collections.abc import Iterator

from smartlb.config.document import Document
from smartlb.config.load import load, read
from smartlb.config.model import Config
from smartlb.config.open_files import shortage
from smartlb.config.problems import ConfigError, Problem, spell
from smartlb.config.schema import json_schema
from smartlb.tls.findings import Remark, about_files


def check(path: str, open_files: int) -> int:
    """Say on standard output what a file configures, or on standard error everything that is wrong with it.

    Args:
        path: of the file.
        open_files: that the system allows a process at most.

    Returns:
        The exit status: 0 for a valid file, 2 for any other.
    """
    try:
        config = load(path)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    remarks = [*about_files(path, config), *_about_open_files(path, config, open_files)]
    for remark in remarks:
        print(remark.text, file=sys.stderr)
    if any(remark.level >= logging.ERROR for remark in remarks):
        return 2
    pools = config.pools.values()
    counts = [
        _count(len(config.listeners), "listener"),
        _count(len(pools), "pool"),
        _count(sum(len(pool.backends) for pool in pools), "backend"),
        _count(len(config.routes), "route"),
    ]
    room = sum(pool.discovery.max_backends for pool in pools if pool.discovery is not None)
    if room:
        counts.append(f"room for {_count(room, 'backend')} by discovery")
    policies = ", ".join(sorted({pool.policy.name for pool in pools}))
    print(f"{path}: valid; {', '.join(counts)}; by {policies}")
    return 0


def _about_open_files(path: str, config: Config, open_files: int) -> Iterator[Remark]:
    if words := shortage(config, open_files):
        location = ("limits", "connections")
        problem = Problem(spell(location), f"warning: {words}", *Document(read(path), path).position(location))
        yield Remark(logging.WARNING, str(ConfigError(path, [problem])))


def schema() -> int:
    """Print the JSON schema of configuration files; returns the exit status, 0."""
    print(json.dumps(json_schema(), indent=2))
    return 0


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

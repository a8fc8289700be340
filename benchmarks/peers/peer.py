"""What the benchmark knows of a proxy: where its program is, its configuration, how to start it."""

import importlib.util
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

IDLE_CONNECTIONS = 64
"""Connections to each backend that every proxy may keep open."""


@dataclass(frozen=True, slots=True)
class Site:
    """Where one run of a proxy takes place.

    Attributes:
        folder: its own, for its configuration and whatever else it writes.
        address: a free one to listen on.
        backends: ``HOST:PORT`` of each.
        health_path: of the backends' health check; None for proxies that look at nothing but connections. HAProxy
            alone has such checks and, with them, watches the answers; nginx sells active checks.
        retry_500: whether nginx takes a 500 for a failure of the backend, which means that it asks another.
    """

    folder: Path
    address: str
    backends: Sequence[str]
    health_path: str | None = None
    retry_500: bool = False


def _chosen_address(site: Site) -> str | None:
    return site.address


@dataclass(frozen=True, slots=True)
class Peer:
    """A proxy that can be measured.

    Attributes:
        name: as `--only` spells it.
        find: gives the command its program starts with, None where it is not installed.
        install: how to install it.
        version: gives the version of the program with that command, "unknown" where it does not say.
        files: contents of its configuration files by their names in the folder.
        arguments: what it is started with.
        environ: environment variables for a site.
        worker: what the command lines of the processes that carry traffic contain; empty for all of them.
        address: where it listens, None while that is not known.
    """

    name: str
    find: Callable[[], list[str] | None]
    install: str
    version: Callable[[Sequence[str]], str]
    files: Callable[[Site], dict[str, str]]
    arguments: Callable[[Site], list[str]]
    environ: Callable[[Site], Mapping[str, str]] = lambda _site: {}
    worker: str = ""
    address: Callable[[Site], str | None] = field(default=_chosen_address)


def printed_version(*arguments: str) -> Callable[[Sequence[str]], str]:
    """Return what finds a program's version in what it prints when it is run with `arguments`."""

    def version(program: Sequence[str]) -> str:
        try:
            done = subprocess.run(
                [*program, *arguments], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired):
            return "unknown"
        return first_version(done.stdout + done.stderr)

    return version


def first_version(text: str) -> str:
    """Return the first three-part version number in `text`, "unknown" where there is none."""
    found = re.search(r"(?<![\d.])\d+\.\d+\.\d+", text)
    return found[0] if found else "unknown"


def in_package(package: str, path: str) -> Path | None:
    """Return the file `path` that a wheel has put into the importable `package`."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if Path(folder, path).is_file():
            return Path(folder, path)
    return None


def in_scripts(name: str) -> Path | None:
    """Return the program `name` that a wheel has put beside the running interpreter."""
    found = Path(sysconfig.get_path("scripts"), name)
    return found if found.is_file() else None


def on_path(name: str) -> Path | None:
    """Return the program `name` on PATH; Debian's servers are in /usr/sbin, which a user's PATH may lack."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    return Path(found) if found else None


def first(*candidates: Path | None) -> list[str] | None:
    """Return the command for the first program that is there."""
    for candidate in candidates:
        if candidate is not None:
            return [str(candidate)]
    return None


def replaced(text: str, old: str, new: str) -> str:
    """Return `text` with `old`, which must be there exactly once, replaced.

    Raises:
        ValueError: it is not.
    """
    if text.count(old) != 1:
        raise ValueError(f"the configuration has {old!r} {text.count(old)} times, expected once")
    return text.replace(old, new)


def pip_install(package: str) -> str:
    """Return the command that installs `package` for the running interpreter."""
    return f"{Path(sys.executable).name} -m pip install {package}"

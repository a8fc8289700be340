"""Compiles functions of the simulator with numba, and keeps what was compiled on disk."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

import smartlb

F = TypeVar("F", bound=Callable[..., Any])

HOW: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False, "forceinline": True}
"""Without numba's reference counts: nothing here makes arrays, and counting took more than half of the time."""

INNER: dict[str, Any] = {name: value for name, value in HOW.items() if name != "cache"}
"""The same for functions that are compiled within others."""

_HERE = Path(__file__).parent
_ROUTER = Path(smartlb.__file__).parent
_COMPILED = (_HERE, _HERE.with_name("references"), _ROUTER / "core")
"""Folders with source that is compiled."""

_KEPT = 4
"""Versions of the source whose compiled code is kept."""


@cache
def cache_folder() -> Path:
    """Where compiled code is kept: a folder of its own for every state of the source and version of numba.

    Numba notices changes of a function's own file but not of those that it calls into.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for folder in _COMPILED:
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "smartlb"
    folder = base / digest.hexdigest()[:16]
    if not folder.is_dir():
        folder.mkdir(parents=True)
        _forget_old(base)
    return folder


def _forget_old(base: Path) -> None:
    from shutil import rmtree

    folders = sorted((path for path in base.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in folders[:-_KEPT]:
        rmtree(path, ignore_errors=True)


@contextmanager
def caching() -> Iterator[None]:
    """Functions that numba is handed meanwhile are kept in `cache_folder`."""
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder())
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def compiled(function: F) -> F:
    """Decorate a function of the kernel: it is compiled at its first call."""
    with caching():
        return cast(F, numba.njit(**HOW)(function))


def entry(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """A function of the kernel, compiled for the types of `arguments` and to be called with no others.

    It leaves out numba's look at the types at every call, which takes longer than a short run of the kernel.
    """
    kernel: Any = function
    types = tuple(map(numba.typeof, arguments))
    kernel.compile(types)
    return cast(Callable[..., Any], kernel.get_overload(types))

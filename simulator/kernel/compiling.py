"""Compiles the router's own functions with numba, from their source, and keeps what was compiled on disk.

The policies know nothing of it: a function is compiled with everything that it calls. Where a function `f` of a policy
chooses between `f_by_loop` and `f_by_numpy`, the loop is compiled; `bisect` is replaced, as numba cannot see into it.
"""

import bisect
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any, TypeVar, cast

import numba
from numba.extending import register_jitable

import smartlb

F = TypeVar("F", bound=Callable[..., Any])

_HOW: dict[str, Any] = {"cache": True, "error_model": "numpy", "_nrt": False, "forceinline": True}
"""Without numba's reference counts: nothing here makes arrays, and counting took more than half of the time."""

_INNER: dict[str, Any] = {name: value for name, value in _HOW.items() if name != "cache"}

_HERE = Path(__file__).parent
_ROUTER = Path(smartlb.__file__).parent
_COMPILED = (_HERE, _HERE.with_name("references"), _ROUTER / "core", _ROUTER / "policies")
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
def _caching() -> Iterator[None]:
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(cache_folder())
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def compiled(function: F) -> F:
    """Decorate a function of the kernel: it is compiled at its first call."""
    with _caching():
        return cast(F, numba.njit(**_HOW)(function))


def entry(function: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """A function of the kernel, compiled for the types of `arguments` and to be called with no others.

    It leaves out numba's look at the types at every call, which takes longer than a short run of the kernel.
    """
    kernel: Any = function
    types = tuple(map(numba.typeof, arguments))
    kernel.compile(types)
    return cast(Callable[..., Any], kernel.get_overload(types))


def callback(signature: Any, function: Callable[..., Any], name: str) -> Any:
    """Compile a function that compiled code is handed as an argument.

    Args:
        signature: of numba.
        function: its globals are compiled functions.
        name: distinguishes what is compiled from the same code with other globals.
    """
    named = FunctionType(function.__code__, function.__globals__, function.__name__)
    named.__module__ = function.__module__
    named.__qualname__ = f"{function.__qualname__}.{name}"
    with _caching():
        return numba.cfunc(signature, **_HOW)(named)


@compiled
def _bisect_left(points: Any, x: Any, low: int = 0, high: int = -1) -> int:
    if high < 0:
        high = len(points)
    while low < high:
        middle = (low + high) // 2
        if points[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def _bisect_right(points: Any, x: Any, low: int = 0, high: int = -1) -> int:
    if high < 0:
        high = len(points)
    while low < high:
        middle = (low + high) // 2
        if x < points[middle]:
            high = middle
        else:
            low = middle + 1
    return low


_STAND_INS: dict[Any, Any] = {bisect.bisect_left: _bisect_left, bisect.bisect_right: _bisect_right}


@cache
def from_source(function: Callable[..., Any]) -> Any:
    """`function` compiled together with all functions of this project that it calls."""
    with _caching():
        return numba.njit(**_HOW)(_with_stand_ins(_by_loop(function)))


def _by_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    by_loop: Callable[..., Any] = function.__globals__.get(f"{function.__name__}_by_loop", function)
    return by_loop


@cache
def _with_stand_ins(function: Callable[..., Any]) -> Any:
    """A copy whose globals are copies likewise, which numba compiles wherever they are called or handed on."""
    assert isinstance(function, FunctionType)
    scope = dict(function.__globals__)
    for name in function.__code__.co_names:
        value = scope.get(name)
        if isinstance(value, FunctionType):
            scope[name] = register_jitable(**_INNER)(_with_stand_ins(_by_loop(value)))
        elif isinstance(value, BuiltinFunctionType) and value in _STAND_INS:
            scope[name] = _STAND_INS[value]
    copy = FunctionType(function.__code__, scope, function.__name__, function.__defaults__)
    copy.__module__, copy.__qualname__ = function.__module__, f"{function.__qualname__}.{digest(function)}"
    return copy


@cache
def digest(function: Callable[..., Any]) -> str:
    """Tells a function, with all that it calls, from others of the same name.

    Numba's cache goes by names; a policy that is tried out, in a notebook say, changes and keeps its name.
    """
    assert isinstance(function, FunctionType)
    code = function.__code__
    found = hashlib.sha256(repr((code.co_code, code.co_consts, code.co_names, function.__defaults__)).encode())
    for name in code.co_names:
        value = function.__globals__.get(name)
        said = digest(_by_loop(value)) if isinstance(value, FunctionType) else _fixed(value)
        found.update(said.encode())
    return found.hexdigest()[:16]


def _fixed(value: Any) -> str:
    """A global constant of a function, which is compiled into it."""
    return repr(value) if isinstance(value, int | float | str | tuple | None) else type(value).__name__

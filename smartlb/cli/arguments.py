"""Values on the command line, with errors that say what was expected."""

import argparse
from collections.abc import Callable, Iterable
from math import inf
from pathlib import Path

from smartlb.config.problems import unknown_name


def number(least: float, most: float = inf) -> Callable[[str], float]:
    """Parses a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            bounds = f"from {least:g} to {most:g}" if most < inf else f"from {least:g} on"
            raise argparse.ArgumentTypeError(f"{text!r} is not a number {bounds}")
        return value

    return parse


def whole_number(least: int = 0) -> Callable[[str], int]:
    """Parses a whole number from `least` on."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return int(text)

    return parse


def known(what: str, names: Callable[[], Iterable[str]]) -> Callable[[str], str]:
    """Parses one of the names that `names` gives, which is asked only when there is something to parse."""

    def parse(text: str) -> str:
        if text not in (there := list(names())):
            raise argparse.ArgumentTypeError(unknown_name(what, text, there))
        return text

    return parse


def several(what: str, names: Callable[[], Iterable[str]]) -> Callable[[str], tuple[str, ...]]:
    """Parses names separated by commas; each counts once."""
    one = known(what, names)

    def parse(text: str) -> tuple[str, ...]:
        found = tuple(dict.fromkeys(one(name.strip()) for name in text.split(",") if name.strip()))
        if not found:
            raise argparse.ArgumentTypeError(f"expected the name of a {what}, or several, separated by commas")
        return found

    return parse


def output(text: str) -> Path:
    """Parses the path of a file that is to be written."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: {path.parent} is no folder, or it is one itself")
    return path


def setting(text: str) -> tuple[str, str]:
    """Parses KEY=VALUE."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE, such as load.utilisation=0.5")
    return key.strip(), value.strip()

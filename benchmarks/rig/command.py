"""What the commands of all benchmarks have in common: options, how they end, and the file that they write.

A file has one object: ``rows`` with what was measured, ``goals`` as `benchmarks.rig.goals` has them, whatever else the
benchmark has to say, and where it ran.
"""

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.rig.goals import Goal, lines
from benchmarks.rig.processes import BenchmarkError
from smartlb import __version__
from smartlb.cli.arguments import number, whole_number

_WIDTH_WITHOUT_TERMINAL = 150


def say(line: str) -> None:
    """Tell the user how far it is; standard output is for results."""
    print(line, file=sys.stderr, flush=True)


def results() -> Console:
    """Where tables are shown; wide where they are written to a file."""
    return Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL)


class Options(argparse.ArgumentParser):
    """The command line of a benchmark, which has ``--json``.

    Args:
        module: of `benchmarks`.
        description: what it measures.
    """

    def __init__(self, module: str, description: str | None) -> None:
        super().__init__(prog=f"python -m benchmarks.{module}", description=description)
        self.add_argument("--json", type=Path, metavar="OUT", help="also write the figures to this file")

    def rounds(self, default: int, what: str) -> None:
        """Add ``--rounds``."""
        self.add_argument("--rounds", type=whole_number(1), default=default, help=f"{what} (default: %(default)d)")

    def seconds(self, default: float, what: str, least: float = 1, most: float = 3_600) -> None:
        """Add ``--seconds``."""
        of = number(least, most)
        self.add_argument("--seconds", type=of, default=default, help=f"{what} (default: %(default)g)")

    def rate(self, default: float) -> None:
        """Add ``--rate``."""
        self.add_argument("--rate", type=number(10, 10_000), default=default, help="requests/s (default: %(default)g)")

    def seed(self, what: str) -> None:
        """Add ``--seed``."""
        self.add_argument("--seed", type=whole_number(), default=1, help=f"{what} (default: %(default)d)")


def publish(out: Path | None, rows: Any, goals: Sequence[Goal], about: Mapping[str, Any] | None = None) -> None:
    """Show the goals, and write everything to a file.

    Args:
        out: the file; None for none.
        rows: what was measured.
        goals: in the order in which they are shown.
        about: what else belongs into the file.
    """
    if goals:
        print("\n".join(["", *lines(goals)]))
    if out is None:
        return
    found = {
        "rows": rows,
        "goals": [goal.as_json() for goal in goals],
        **(about or {}),
        "version": __version__,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2, allow_nan=False) + "\n")


def run(work: Callable[[], int]) -> int:
    """Do the work of a benchmark with processes; returns its exit status, or 2 where it could not be done.

    SIGTERM ends it like an error, so that what it has started ends too.
    """
    if sys.platform != "linux":
        say("The benchmark finds processes, and what they use, through /proc; it runs on Linux only.")
        return 2
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        return work()
    except BenchmarkError as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        return 128 + signal.SIGINT

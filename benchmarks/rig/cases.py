"""Cases that run in the benchmark's own process: their processor time, and their instructions in one apart.

The rounds of all cases are interleaved, so that a slow spell of the machine meets them all; a figure is the mean of one
round. Cases are compared within each round, as a machine may be faster in one than in the next.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from benchmarks.rig.command import Options, publish, say
from benchmarks.rig.goals import Goal
from benchmarks.rig.instructions import INSTALL, of_cases
from benchmarks.rig.report import spread

Case = Callable[[int], None]
"""Does something a given number of times."""

Rows = Sequence[Mapping[str, Any]]
"""What was measured: an object for each case."""

_COUNTED = 4
"""Times as many calls are counted as are timed at once."""

_PASSES = 5
"""How often each case is counted."""


def timed(cases: Mapping[str, Case], rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds of processor time that a call takes, by case, in each round."""
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            case(1)  # brings it about, where it is not the first to use what several share
            began_s = time.thread_time()
            case(calls)
            found[name].append((time.thread_time() - began_s) / calls * 1e6)
    return found


def run(
    module: str,
    about: str | None,
    cases: Mapping[str, Case],
    calls: int,
    each: str,
    goals: Callable[[Rows], list[Goal]],
    arguments: Sequence[str] | None,
) -> int:
    """The command of a benchmark of cases: measures and reports.

    Args:
        module: of `benchmarks`; its function ``cases`` makes the same cases elsewhere.
        about: what it measures.
        cases: by name.
        calls: timed at once.
        each: what a call is.
        goals: of the rows.
        arguments: of the command line; None for those of the process.
    """
    options = Options(module, about)
    options.rounds(100, "measurements of each case")
    options.add_argument("--no-instructions", action="store_true", help="do not count them, which takes a while")
    chosen = options.parse_args(arguments)
    times = timed(cases, chosen.rounds, calls)
    counts = {} if chosen.no_instructions else of_cases(f"benchmarks.{module}", list(cases), _COUNTED * calls, _PASSES)
    if not counts and not chosen.no_instructions:
        say(f"Instructions are not counted: {INSTALL}.")
    rows = [
        {
            "case": name,
            "cpu_us": spread(each_us),
            "instructions": round(median(counts[name])) if name in counts else None,
            "rounds_us": [round(one, 4) for one in each_us],
            "passes_instructions": [round(one) for one in counts.get(name, ())],
        }
        for name, each_us in times.items()
    ]
    print("\n".join(table(rows, each)))
    publish(chosen.json, rows, goals(rows))
    return 0


def paired(rows: Rows, case: str, other: str, how: Callable[[float, float], float]) -> float:
    """How the processor times of two cases compare: the median of what `how` makes of those of the same round."""
    return _median(how, _of(rows, case)["rounds_us"], _of(rows, other)["rounds_us"])


def counted(rows: Rows, case: str, other: str, how: Callable[[float, float], float]) -> float | None:
    """The same of their instructions in each pass; None where they were not counted."""
    one, two = (_of(rows, name)["passes_instructions"] for name in (case, other))
    return _median(how, one, two) if one and two else None


def _median(how: Callable[[float, float], float], one: Sequence[float], two: Sequence[float]) -> float:
    return round(median(how(*pair) for pair in zip(one, two, strict=True)), 3)


def _of(rows: Rows, case: str) -> Mapping[str, Any]:
    return next(row for row in rows if row["case"] == case)


def table(rows: Rows, each: str) -> list[str]:
    """The rows as a table of Markdown; `each` says what a call is."""
    lines = [f"| µs for {each} | least | median | greatest | instructions |", "|---|---|---|---|---|"]
    for row in rows:
        cpu = row["cpu_us"]
        count = "–" if row["instructions"] is None else f"{row['instructions']:,}"
        lines.append(f"| {row['case']} | {cpu['min']:.3f} | {cpu['median']:.3f} | {cpu['max']:.3f} | {count} |")
    return lines

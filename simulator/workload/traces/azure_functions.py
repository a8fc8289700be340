"""azure_functions: counts of invocations of serverless functions, minute by minute, and percentiles of their durations.

The Azure Functions 2019 dataset (Shahrad et al., "Serverless in the Wild", USENIX ATC 2020): ``invocations.csv``
beside ``durations.csv``. Within a minute arrivals are spread at random; a duration is drawn by inverse transform,
linear between the percentiles of its function.
"""

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.format import Format, opened
from simulator.workload.traces.reading import Malformed, Reading, TraceError

_FUNCTION = ["HashOwner", "HashApp", "HashFunction"]
_LEVELS = np.array([0, 1, 25, 50, 75, 99, 100])
_PERCENTILES = [f"percentile_Average_{level}" for level in _LEVELS]
_INVOCATIONS, _DURATIONS = "invocations.csv", "durations.csv"

Function = tuple[str, str, str]


class _Invocations(NamedTuple):
    functions: list[Function]
    triggers: list[str]
    minutes: list[int]
    counts: npt.NDArray[np.uint32]  # [functions, minutes]


def _read(reading: Reading) -> Iterator[Entry]:
    path = reading.path
    folder = path if path.is_dir() else path.parent
    durations = _durations(_beside(folder, _DURATIONS), reading)
    invocations = _invocations(_beside(folder, _INVOCATIONS) if path.is_dir() else path, reading, durations)
    percentiles_ms = np.array([durations[function] for function in invocations.functions]).reshape(-1, len(_LEVELS))
    for column, minute in enumerate(invocations.minutes):
        counts = invocations.counts[:, column]
        reading.report.entries += int(counts.sum())
        yield from _minute(minute, invocations, counts, percentiles_ms, reading.rng)


def _beside(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise TraceError(f"{folder}: no {name} there; azure_functions needs {_INVOCATIONS} and {_DURATIONS} in one folder")


def _minute(
    minute: int,
    invocations: _Invocations,
    counts: npt.NDArray[np.uint32],
    percentiles_ms: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> Iterator[Entry]:
    called = np.repeat(np.arange(len(counts)), counts)
    at_s = 60 * (minute + rng.random(len(called)))
    level = 100 * rng.random(len(called))
    below = np.searchsorted(_LEVELS, level, side="right") - 1
    share = (level - _LEVELS[below]) / (_LEVELS[below + 1] - _LEVELS[below])
    low, high = percentiles_ms[called, below], percentiles_ms[called, below + 1]
    took_s = (low + share * (high - low)) / 1e3
    order = np.argsort(at_s, kind="stable")
    for at, function, took in zip(at_s[order].tolist(), called[order].tolist(), took_s[order].tolist(), strict=True):
        owner, app, name = invocations.functions[function]
        yield Entry(at, invocations.triggers[function], took, 0, 0, 0, 0, owner, f"{app}/{name}")


def _durations(path: Path, reading: Reading) -> dict[Function, tuple[float, ...]]:
    durations: dict[Function, tuple[float, ...]] = {}

    def row(place: dict[str, int], cells: list[str]) -> None:
        percentiles = tuple(float(cells[place[name]]) for name in _PERCENTILES)
        if list(percentiles) != sorted(percentiles) or not 0 <= percentiles[0] <= percentiles[-1] < math.inf:
            raise Malformed("percentiles that do not ascend from 0 on")
        durations[_function(place, cells)] = percentiles

    _table(path, [*_FUNCTION, *_PERCENTILES], row, reading)
    return durations


def _invocations(path: Path, reading: Reading, durations: dict[Function, tuple[float, ...]]) -> _Invocations:
    functions: list[Function] = []
    triggers: list[str] = []
    rows: list[npt.NDArray[np.uint32]] = []
    minutes: list[int] = []

    def row(place: dict[str, int], cells: list[str]) -> None:
        if not minutes:
            minutes.extend(sorted(int(name) for name in place if name.isdecimal()))
        counts = np.array([cells[place[str(minute)]] for minute in minutes], dtype=np.uint32)
        if (function := _function(place, cells)) in durations:
            functions.append(function)
            triggers.append(cells[place["Trigger"]])
            rows.append(counts)
        else:
            reading.report.ignored += int(counts.sum())

    _table(path, [*_FUNCTION, "Trigger"], row, reading)
    return _Invocations(functions, triggers, minutes, np.array(rows, dtype=np.uint32).reshape(len(rows), len(minutes)))


def _function(place: dict[str, int], cells: list[str]) -> Function:
    owner, app, function = (cells[place[name]] for name in _FUNCTION)
    return owner, app, function


def _table(path: Path, needed: list[str], take: Callable[[dict[str, int], list[str]], None], reading: Reading) -> None:
    with opened(path) as text:
        rows = csv.reader(text)
        place = {name: index for index, name in enumerate(next(rows, []))}
        if missing := [name for name in needed if name not in place]:
            raise TraceError(f"{path}:1: no column {', '.join(missing)}; is it a file of the Azure Functions dataset?")
        for cells in rows:
            try:
                take(place, cells)
            except (ValueError, LookupError, OverflowError) as error:
                reading.reject(rows.line_num, cells, error, path)
        reading.report.lines += rows.line_num


FORMAT = Format(
    name="azure_functions",
    expected=f"rows of {_INVOCATIONS} (a count for each minute) and {_DURATIONS} (percentiles in ms) of the Azure "
    "Functions dataset",
    recognise=lambda line: line.startswith(",".join([*_FUNCTION, "Trigger,"])),
    read=_read,
    ignores="invocations of functions without durations",
)

"""The demo's result: a table for people and a JSON file for programs."""

import dataclasses
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from simulator.demo.fleet import ServerSpec
from simulator.demo.scenario import Fault
from simulator.demo.settings import Settings
from simulator.demo.summary import Summary, ratio
from simulator.demo.view import milliseconds
from simulator.demo.workload import Workload


def reference(summaries: Sequence[Summary]) -> Summary:
    """What the others are compared with: learned, or else the first."""
    return next((summary for summary in summaries if summary.policy == "learned"), summaries[0])


def table(summaries: Sequence[Summary]) -> Table:
    """The comparison; latencies in milliseconds."""
    base = reference(summaries)
    result = Table(
        title=f"Latency in ms of the same {base.requests:,} requests under each policy",
        title_style="bold",
        header_style="bold",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    result.add_column("\npolicy", no_wrap=True)
    faults = [f"{name}\np99" for name in base.fault_p99_ms]
    for heading in ("\nmean", "\np50", "\np90", "\np99", f"p99 vs\n{base.policy}", *faults, "\nfailed"):
        result.add_column(heading, justify="right")
    for row in summaries:
        times = ratio(row.p99_ms, base.p99_ms)
        result.add_row(
            row.policy,
            *(milliseconds(value) for value in (row.mean_ms, row.p50_ms, row.p90_ms, row.p99_ms)),
            f"{times:.2f}" if times is not None else "-",
            *(milliseconds(value) for value in row.fault_p99_ms.values()),
            f"{row.failed:.2%}",
            style="bold" if row is base else "",
        )
    return result


def notes(summaries: Sequence[Summary], settings: Settings) -> list[str]:
    """What a reader has to know to trust the table."""
    late = max(summary.late_p99_ms for summary in summaries)
    lines = [
        "Latency counts from each request's scheduled arrival.",
        f"A request that timed out counts with its {settings.timeout_s:g} s; an error counts as failed only.",
        f"The load generator sent 99 % of the requests at most {late:.1f} ms after their time.",
    ]
    waited = sum(summary.waited for summary in summaries)
    if waited:
        lines.append(
            f"{waited:,} requests waited for one of the generator's {settings.connections} connections, "
            "which counts as latency."
        )
    return lines


def document(
    summaries: Sequence[Summary],
    settings: Settings,
    workload: Workload,
    fleet: Sequence[ServerSpec],
    faults: Sequence[Fault],
    mean_work_ms: float,
) -> dict[str, Any]:
    """All of the result, for a JSON file."""
    base = reference(summaries)
    return {
        "settings": {
            **dataclasses.asdict(settings),
            "policies": list(settings.policies),
            "trace": str(settings.trace) if settings.trace else None,
            "output": str(settings.output),
        },
        "workload": {
            "source": workload.source,
            "speedup": workload.speedup,
            "classes": list(workload.classes),
            "affine_class": workload.affine,
            "mean_work_ms": mean_work_ms,
        },
        "fleet": [dataclasses.asdict(server) for server in fleet],
        "faults": [dataclasses.asdict(fault) for fault in faults],
        "policies": [{**dataclasses.asdict(row), "p99_ratio": ratio(row.p99_ms, base.p99_ms)} for row in summaries],
        "ratios_to": base.policy,
        "versions": {"python": platform.python_version(), **_versions()},
        "platform": platform.platform(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in ("smartlb", "river", "numpy", "uvloop", "httptools"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

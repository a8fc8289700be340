"""What the terminal shows while the demo runs; pure functions from a scene to what is drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from simulator.demo.fleet import ServerSpec
from simulator.demo.scenario import Fault
from simulator.demo.summary import Summary

_BAR = 6


@dataclass(slots=True)
class Scene:
    """What is going on now; the demo keeps it up to date, the view draws it.

    Attributes:
        fleet: the servers.
        classes: names of the request classes.
        source: where the requests come from.
        policies: all that run, in order.
        policy: the one that runs now.
        phase: what it is at.
        left_s: until this policy's run is over.
        fault: what is wrong with the fleet now.
        pool: the router's status of the fleet, as `GET /status` gives it; None while there is none.
        progress: what the load generator said last.
        finished: figures of the policies that are through.
    """

    fleet: Sequence[ServerSpec]
    classes: Sequence[str]
    source: str
    policies: Sequence[str]
    policy: str = ""
    phase: str = "starting"
    left_s: float = 0.0
    fault: Fault | None = None
    pool: Mapping[str, Any] | None = None
    progress: Mapping[str, Any] = field(default_factory=dict)
    finished: list[Summary] = field(default_factory=list)


def screen(scene: Scene) -> RenderableType:
    """The whole live view."""
    return Group(
        Rule("[bold]smartlb demo"),
        _headline(scene),
        _backends(scene),
        Text(scene.source, "dim"),
        _finished(scene),
    )


def line(scene: Scene) -> str:
    """The scene in one line, for terminals that cannot redraw and for logs."""
    progress = scene.progress
    fault = f"; {scene.fault}" if scene.fault else ""
    return (
        f"[{_turn(scene)}] {scene.policy}: {scene.phase}, {scene.left_s:.0f} s left; "
        f"{progress.get('done', 0)} answered, {progress.get('failed', 0)} failed, "
        f"p50 {milliseconds(progress.get('p50_ms'))}, p99 {milliseconds(progress.get('p99_ms'))} ms{fault}"
    )


def milliseconds(value: float | None) -> str:
    """A latency for a table: three digits are enough."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _turn(scene: Scene) -> str:
    at = scene.policies.index(scene.policy) + 1 if scene.policy in scene.policies else 0
    return f"{at}/{len(scene.policies)}"


def _headline(scene: Scene) -> Text:
    progress = scene.progress
    text = Text.assemble(
        (f" {scene.policy or '...'} ", "bold reverse"),
        f"  policy {_turn(scene)} · {scene.phase} · {scene.left_s:.0f} s left\n",
        f"{progress.get('sent', 0):,} sent, {progress.get('failed', 0):,} failed; last two seconds: ",
        (
            f"p50 {milliseconds(progress.get('p50_ms'))} ms, p99 {milliseconds(progress.get('p99_ms'))} ms\n",
            "bold",
        ),
    )
    return text.append(f"▲ {scene.fault}" if scene.fault else "all servers well", "red" if scene.fault else "green")


def _backends(scene: Scene) -> Table:
    table = Table(box=None, header_style="dim", pad_edge=False, collapse_padding=True)
    table.add_column("backend\ncores×speed", no_wrap=True)
    for name in scene.classes:
        table.add_column(f"weight\n{name}", justify="right")
    table.add_column("share of\ntraffic", no_wrap=True)
    for heading in ("in\nflight", "p50\nms", "p99\nms", "\nerrors"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("\nstate", no_wrap=True)
    by_name = {row["name"]: row for row in scene.pool["backends"]} if scene.pool else {}
    for server in scene.fleet:
        table.add_row(*_row(server, by_name.get(server.name), scene), style=_style(server, scene.fault))
    return table


def _style(server: ServerSpec, fault: Fault | None) -> str:
    return "red" if fault and fault.server == server.name else ""


def _row(server: ServerSpec, status: Mapping[str, Any] | None, scene: Scene) -> list[str]:
    if status is None:
        return [f"{server.name} {server}", *("" for _ in scene.classes), "", "", "", "", "", "starting"]
    window = status["window"]
    weights = (status.get("weight") or {}).get
    return [
        f"{server.name} {server}",
        *(f"{weights(name):.2f}" if weights(name) is not None else "-" for name in scene.classes),
        f"{window['share']:4.0%} {'█' * round(min(1.0, 2 * window['share']) * _BAR):<{_BAR}}",
        str(status["in_flight"]),
        milliseconds(window["p50_ms"]),
        milliseconds(window["p99_ms"]),
        f"{window['failures'] / window['requests']:.0%}" if window["requests"] else "-",
        _state(status),
    ]


def _state(status: Mapping[str, Any]) -> str:
    if status["ejected"]:
        return "ejected"
    return "draining" if status["drained"] else str(status["health"])


def _finished(scene: Scene) -> Text:
    if not scene.finished:
        return Text("+ after a server's speed: one class of requests runs 4 times faster there", "dim")
    parts = [f"{done.policy}: p99 {milliseconds(done.p99_ms)} ms, {done.failed:.2%} failed" for done in scene.finished]
    return Text("so far  " + "  ·  ".join(parts), "dim")

"""What is drawn of one scenario."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from simulator.measures.curves import Curves, Span
from simulator.measures.seeds import Summary
from simulator.report.palette import TROUBLED, Stroke
from simulator.report.svg import INK, figure, inline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_IN: Final = 6.2
NUMBERED: Final = 9
"""Troubles that get a number in pictures."""


def over_time(name: str, shown: Sequence[Curves], strokes: Mapping[str, Stroke]) -> str:
    """p99 latency over time, faults shaded; empty where no request succeeded."""
    shown = [each for each in shown if any(value is not None for value in each.p99_ms)]
    if not shown:
        return ""
    first = shown[0]
    with figure(WIDTH_IN, 3.5) as made:
        axes = made.subplots()
        for each in shown:
            middles = np.convolve(each.edges_s, (0.5, 0.5), "valid")
            axes.plot(middles, _numbers(each.p99_ms), **strokes[each.policy].line, label=each.policy)
        _shade(axes, first)
        axes.set(yscale="log", xlim=(0, first.duration_s), xlabel="arrival, seconds")
        _latency_axis(axes, "y")
        axes.set_ylabel("p99 latency")
        axes.grid()
        made.legend(loc="outside lower center", ncols=2, handlelength=3)
        return inline(made, name, f"p99 latency over time in {first.scenario}, of {_listed(shown)}.")


def tail(name: str, shown: Sequence[Curves], strokes: Mapping[str, Stroke]) -> str:
    """Which share of requests was slower than a latency; empty where no request succeeded."""
    shown = [each for each in shown if any(value is not None for value in each.slower_ms)]
    if not shown:
        return ""
    with figure(WIDTH_IN, 3.5) as made:
        axes = made.subplots()
        lowest = 1.0
        for each in shown:
            axes.plot(_numbers(each.slower_ms), each.slower, **strokes[each.policy].line, label=each.policy)
            lowest = min(lowest, each.slower[-1])
        axes.axhline(0.01, color=INK, lw=0.7, alpha=0.6)
        axes.annotate("p99", (1.0, 0.01), xycoords=("axes fraction", "data"), xytext=(3, 0),
                      textcoords="offset points", va="center", fontsize=8)  # fmt: skip
        axes.set(xscale="log", yscale="log", ylim=(lowest / 1.5, 1.3), xlabel="latency")
        _latency_axis(axes, "x")
        axes.yaxis.set_major_formatter(lambda share, _at: f"{100 * share:.4g} %")
        axes.set_ylabel("slower, or failed")
        axes.grid()
        made.legend(loc="outside lower center", ncols=2, handlelength=3)
        return inline(
            made, name, f"Share of requests slower than each latency in {shown[0].scenario}, of {_listed(shown)}."
        )


def where(name: str, each: Curves) -> str:
    """Where a policy sent its attempts over time and, if it learned, what the learned weights were."""
    rows = [("share of traffic", each.shares)] + ([("learned weight", each.weights)] if each.weights else [])
    with figure(WIDTH_IN, 0.6 + 1.75 * len(rows)) as made:
        axes = made.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
        for panel, (label, values) in zip(axes, rows, strict=True):
            _stack(panel, each, np.array([_numbers(row) for row in values]))
            _shade(panel, each, filled=False)
            panel.set(ylim=(0, 1), xlim=(0, each.duration_s), ylabel=label)
            panel.yaxis.set_major_formatter(lambda share, _at: f"{100 * share:.0f} %")
        axes[-1].set_xlabel("seconds")
        what = "Shares of traffic and learned weights" if each.weights else "Shares of traffic"
        return inline(made, name, f"{what} of {', '.join(each.lanes)} over time under {each.policy}.")


def regret(name: str, summaries: Sequence[Summary], strokes: Mapping[str, Stroke], labels: Mapping[str, str]) -> str:
    """p99 and mean as multiples of the clairvoyant policy's; empty where there is nothing to compare with."""
    found = [(row, row.regret_p99, row.regret_mean) for row in summaries if row.regret_p99 and row.regret_mean]
    found = [each for each in found if strokes[each[0].policy].colour != INK]
    if not found:
        return ""
    found.sort(key=lambda each: -each[1].mean)
    with figure(WIDTH_IN, 0.95 + 0.23 * len(found)) as made:
        axes = made.subplots()
        at = np.arange(len(found))
        ratio = np.array([1.0 + p99.mean for _row, p99, _mean in found])
        half = np.array([p99.half_width or 0.0 for _row, p99, _mean in found])
        low, high = min(0.95, ratio.min() * 0.95), (ratio + half).max() * 1.15
        axes.barh(at, ratio - 1.0, left=1.0, height=0.62, color=[strokes[row.policy].colour for row, *_ in found])
        axes.errorbar(
            ratio, at, xerr=(np.minimum(half, ratio - low), half), fmt="none", ecolor=INK, elinewidth=1, capsize=2
        )
        means = np.array([1.0 + mean.mean for _row, _p99, mean in found])
        axes.plot(means, at, "D", color=INK, markersize=4, markerfacecolor="none", label="mean")
        axes.axvline(1.0, color=INK, lw=0.8)
        axes.set(
            xscale="log",
            xlim=(min(low, means.min() * 0.95), max(high, means.max() * 1.1)),
            xlabel="times the clairvoyant policy's: bar p99, diamond mean",
        )
        axes.set_yticks(at, [labels[row.policy] for row, *_ in found])
        _ratio_axis(axes)
        axes.grid(axis="x")
        return inline(
            made,
            name,
            f"p99 latency as a multiple of the clairvoyant policy's in {found[0][0].scenario}: "
            + "; ".join(f"{row.policy} {1.0 + p99.mean:.2f}" for row, p99, _mean in reversed(found))
            + ".",
        )


def _stack(axes: "Axes", each: Curves, values: npt.NDArray[np.float64]) -> None:
    edges_s = np.array(each.edges_s)
    middles_s = (edges_s[:-1] + edges_s[1:]) / 2
    total = values.sum(axis=0)
    values = values / np.where(total > 0.0, total, np.nan)
    floor = np.zeros(values.shape[1])
    colours = iter(TROUBLED)
    places = []
    for lane in range(len(values)):
        colour = next(colours, TROUBLED[-1]) if each.troubled[lane] else INK
        alpha = 0.75 if each.troubled[lane] else (0.10, 0.24)[lane % 2]
        axes.fill_between(middles_s, floor, floor + values[lane], color=colour, alpha=alpha, linewidth=0)
        seen = np.flatnonzero(np.isfinite(values[lane]))
        last = seen[-1] if len(seen) else -1
        places.append(float(floor[last] + values[lane][last] / 2) if len(seen) else 0.5)
        floor = floor + values[lane]
    for lane, place in enumerate(_apart(places, gap=0.085)):
        axes.annotate(
            each.lanes[lane], (1.0, place), xycoords="axes fraction", xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=7, annotation_clip=False,
        )  # fmt: skip


def _apart(places: Sequence[float], gap: float) -> list[float]:
    """Ascending places, moved as little as needed to be a gap apart and below 1."""
    found: list[float] = []
    for place in places:
        found.append(max(place, found[-1] + gap) if found else place)
    limit = 1.0
    for at in range(len(found) - 1, -1, -1):
        found[at] = min(found[at], limit)
        limit = found[at] - gap
    return found


def _shade(axes: "Axes", each: Curves, filled: bool = True) -> None:
    if each.warmup_s > 0.0:
        axes.axvspan(0.0, each.warmup_s, facecolor="none", edgecolor=INK, hatch="////", alpha=0.12, linewidth=0)
        axes.annotate("warm-up", (each.warmup_s / 2, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 2),
                      textcoords="offset points", ha="center", va="bottom", fontsize=7)  # fmt: skip
    for number, trouble in enumerate(each.troubles, 1):
        starts_s, ends_s = trouble.starts_s, _end_s(trouble, each.duration_s)
        if starts_s >= each.duration_s:
            continue
        if filled:
            axes.axvspan(starts_s, ends_s, color=TROUBLED[0], alpha=0.12, linewidth=0)
        for edge_s in (starts_s, ends_s):
            axes.axvline(edge_s, color=TROUBLED[0], lw=0.8, ls=":")
        if number <= NUMBERED:
            axes.annotate(str(number), ((starts_s + ends_s) / 2, 1.0), xycoords=("data", "axes fraction"),
                          xytext=(0, 2), textcoords="offset points", ha="center", va="bottom", fontsize=8,
                          color=TROUBLED[0], weight="bold")  # fmt: skip


def _end_s(trouble: Span, duration_s: float) -> float:
    return duration_s if trouble.ends_s is None else min(trouble.ends_s, duration_s)


def _latency_axis(axes: "Axes", which: str) -> None:
    axis = axes.yaxis if which == "y" else axes.xaxis
    low, high = axis.get_view_interval()
    _log_ticks(axis, high / low)
    axis.set_major_formatter(lambda ms, _at: f"{ms:,.3g} ms" if ms < 1000 else f"{ms / 1000:,.3g} s")


def _ratio_axis(axes: "Axes") -> None:
    low, high = axes.xaxis.get_view_interval()
    _log_ticks(axes.xaxis, high / low)
    axes.xaxis.set_major_formatter(lambda ratio, _at: f"{ratio:,.3g}×")


def _log_ticks(axis: object, span: float) -> None:
    from matplotlib.axis import Axis
    from matplotlib.ticker import LogLocator, NullFormatter

    assert isinstance(axis, Axis)
    subs = (
        (1.0,) if span > 1000 else (1.0, 3.0) if span > 30 else (1.0, 2.0, 5.0) if span > 6 else (1, 1.5, 2, 3, 4, 6, 8)
    )
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_minor_formatter(NullFormatter())


def _numbers(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values])


def _listed(shown: Sequence[Curves]) -> str:
    return ", ".join(each.policy for each in shown)

"""The demo's result as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simulator.demo.fleet import ServerSpec
from simulator.demo.load import Array
from simulator.demo.scenario import Fault
from simulator.demo.summary import Floats, latencies_ms, percentile

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which people with any kind of colour vision can tell apart.
_LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#000000")
_STYLES = ("-", "--", "-.", ":", "-", "--")
_FAULTS = ("#D55E00", "#CC79A7")
_GREYS = ("#ECECEC", "#DADADA")


def draw(
    path: Path,
    results: Mapping[str, Array],
    fleet: Sequence[ServerSpec],
    faults: Sequence[Fault],
    seconds: float,
    subtitle: str,
) -> None:
    """Write a PNG: latency over time, how many requests took longer, and where one policy sent them.

    Args:
        path: of the PNG.
        results: by policy; times count from the end of the warm-up.
        fleet: the servers, by whose index the results know them.
        faults: shaded where time is an axis.
        seconds: how long was counted.
        subtitle: what was run.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 12), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"The same requests to the same unequal servers under {len(results)} policies\n{subtitle}")
    over_time, tail, shares = figure.subplots(3, 1)
    _latency_over_time(over_time, results, faults, seconds)
    _tail(tail, results)
    policy = "learned" if "learned" in results else next(iter(results))
    _shares(shares, policy, results[policy], fleet, faults, seconds)
    figure.savefig(path, dpi=110)


def _mark(axes: "Axes", faults: Sequence[Fault], shade: float) -> None:
    for fault, colour in zip(faults, _FAULTS, strict=False):
        axes.axvspan(fault.starts_s, fault.ends_s, color=colour, alpha=shade, linewidth=0)
        for edge_s in (fault.starts_s, fault.ends_s):
            axes.axvline(edge_s, color=colour, lw=1, ls=":")
        middle = (fault.starts_s + fault.ends_s) / 2
        axes.annotate(
            str(fault), (middle, 1.0), xycoords=("data", "axes fraction"), xytext=(0, 3),
            textcoords="offset points", ha="center", va="bottom", fontsize=9, color=colour,
        )  # fmt: skip


def _bins(seconds: float) -> Floats:
    return np.linspace(0.0, seconds, max(4, round(seconds)) + 1)


def _latency_over_time(axes: "Axes", results: Mapping[str, Array], faults: Sequence[Fault], seconds: float) -> None:
    edges = _bins(seconds)
    for at, (policy, rows) in enumerate(results.items()):
        bin_of = np.digitize(rows["at_s"], edges) - 1
        p99 = [percentile(latencies_ms(rows[bin_of == number]), 99) for number in range(len(edges) - 1)]
        values = [np.nan if value is None else value for value in p99]
        axes.plot((edges[:-1] + edges[1:]) / 2, values, _STYLES[at % 6], color=_LINES[at % 6], label=policy, lw=2)
    _mark(axes, faults, shade=0.12)
    axes.set(yscale="log", xlim=(0, seconds), xlabel="arrival, seconds", ylabel="p99 latency, ms")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title("p99 latency of the requests that arrived in each second", pad=20)
    axes.legend(loc="best")
    axes.grid(alpha=0.3, which="both")


def _tail(axes: "Axes", results: Mapping[str, Array]) -> None:
    for at, (policy, rows) in enumerate(results.items()):
        latency = np.sort(latencies_ms(rows))
        if len(latency):
            slower = 1 - np.arange(len(latency)) / len(latency)
            axes.plot(latency, slower, _STYLES[at % 6], color=_LINES[at % 6], label=policy, lw=2)
    axes.axhline(0.01, color="#888888", lw=1)
    axes.annotate("p99", (1.0, 0.01), xycoords=("axes fraction", "data"), xytext=(4, 0),
                  textcoords="offset points", va="center", fontsize=9)  # fmt: skip
    axes.set(xscale="log", yscale="log", ylim=(1e-3, 1.1), xlabel="latency, ms")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter(lambda share, _at: f"{share:.4g}")
    axes.set_ylabel("share of requests that are slower")
    axes.set_title("Share of requests slower than a latency (further left and lower is better)")
    axes.legend(loc="best")
    axes.grid(alpha=0.3, which="both")


def _shares(
    axes: "Axes",
    policy: str,
    rows: Array,
    fleet: Sequence[ServerSpec],
    faults: Sequence[Fault],
    seconds: float,
) -> None:
    edges = _bins(seconds)
    answered = rows[rows["backend"] >= 0]
    counts = np.array([np.histogram(answered["at_s"][answered["backend"] == at], edges)[0] for at in range(len(fleet))])
    shares = counts / np.maximum(1, counts.sum(axis=0))
    middles = (edges[:-1] + edges[1:]) / 2
    colours = dict(zip((fault.server for fault in faults), _FAULTS, strict=False))
    floor = np.zeros(len(middles))
    for at, server in enumerate(fleet):
        colour = colours.get(server.name, _GREYS[at % 2])
        axes.fill_between(middles, floor, floor + shares[at], color=colour, linewidth=0)
        axes.annotate(
            f"{server.name}  {server}", (middles[-1], floor[-1] + shares[at][-1] / 2), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=9, annotation_clip=False,
        )  # fmt: skip
        floor = floor + shares[at]
    _mark(axes, faults, shade=0.0)
    axes.set(xlim=(middles[0], middles[-1]), ylim=(0, 1), xlabel="arrival, seconds", ylabel="share of traffic")
    axes.set_title(f"Where {policy} sent the requests (cores×speed; +: one class is 4 times faster there)", pad=20)

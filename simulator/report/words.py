"""Figures as a reader wants them: few digits, a unit that fits, and what is missing as a dash."""

from simulator.measures.estimate import Estimate
from simulator.measures.seeds import Summary

NOTHING = "–"


def latency(value: Estimate | float | None, interval: bool = True) -> str:
    """Milliseconds as ms, s or min, such as ``103 ±4 ms`` and ``12.3 s``.

    Args:
        value: in milliseconds.
        interval: whether to say how far off it may be, where that is known.
    """
    mean, half = _parts(value)
    if mean is None:
        return NOTHING
    for unit, size in (("ms", 1.0), ("s", 1e3), ("min", 60e3)):
        if round(mean / size) < (1000 if unit == "ms" else 120) or unit == "min":
            break
    return f"{_pair(mean / size, half / size if half is not None and interval else None)} {unit}"


def seconds(value: Estimate | float | None, interval: bool = True) -> str:
    """Seconds, such as ``4.2 ±0.5 s``."""
    mean, half = _parts(value)
    return NOTHING if mean is None else f"{_pair(mean, half if interval else None)} s"


def share(value: Estimate | float | None, interval: bool = True) -> str:
    """A share as per cent, such as ``0.15 %``; what is there and too small to show is not 0."""
    mean, half = _parts(value)
    if mean is None:
        return NOTHING
    if mean == 0.0:
        return "0"
    if mean < 5e-5:
        return "<0.01 %"
    digits = 0 if mean >= 0.1 else 1 if mean >= 0.01 else 2
    more = f" ±{100 * half:.{digits}f}" if half is not None and interval else ""
    return f"{100 * mean:.{digits}f}{more} %"


def regret(value: Estimate | float | None, interval: bool = True) -> str:
    """How much worse, such as ``+25 ±3 %``, and from ten times on ``46×``."""
    mean, half = _parts(value)
    if mean is None:
        return NOTHING
    if mean >= 9.0:
        return f"{_pair(mean + 1.0, half if interval else None)}×"
    more = f" ±{100 * half:.0f}" if half and interval else ""
    return f"{100 * mean:+.0f}{more} %" if round(100 * mean) else f"0{more} %"


def index(value: Estimate | float | None, interval: bool = True) -> str:
    """A number between 0 and 1, such as ``0.98 ±0.01``."""
    mean, half = _parts(value)
    if mean is None:
        return NOTHING
    return f"{mean:.2f}" + (f" ±{half:.2f}" if half is not None and half >= 0.005 and interval else "")


def recovery(summary: Summary, interval: bool = True) -> str:
    """How long it took until latency was as before each trouble; that it never was comes first."""
    if not summary.troubled:
        return NOTHING
    if not summary.unrecovered:
        return seconds(summary.recovery_s, interval)
    return "never" if summary.troubled == 1 else f"never, {summary.unrecovered} of {summary.troubled}"


def trouble(summary: Summary) -> list[str]:
    """What says that a fleet was asked for more than the policy got out of it; empty where nothing does."""
    runs = len(summary.seeds)
    found = []
    if summary.grows:
        found.append(
            "queues grow all the time" + (f" in {summary.grows} of {runs} runs" if summary.grows < runs else "")
        )
    if summary.refused > 0.0:
        found.append(f"{share(summary.refused)} of attempts found a full queue")
    if summary.p99_ms is None:
        found.append("no request succeeded in some run")
    return found


def _parts(value: Estimate | float | None) -> tuple[float | None, float | None]:
    return (value.mean, value.half_width) if isinstance(value, Estimate) else (value, None)


def _pair(mean: float, half: float | None) -> str:
    # Three digits of the larger one; more would be noise.
    largest = max(mean, half or 0.0)
    digits = 0 if largest >= 99.5 or largest == 0.0 else 1 if largest >= 9.95 else 2
    text = f"{mean:,.{digits}f}"
    return text if not half else f"{text} ±{half:,.{digits}f}"

"""Figures as a DataFrame."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulator.measures.figures import Figures
from simulator.measures.recovery import worst

if TYPE_CHECKING:
    import pandas as pd


def table(figures: Sequence[Figures]) -> "pd.DataFrame":
    """One row a scenario, policy and seed, one figure a column, with the unit in its name.

    Of several troubles the longest recovery and return count; they are NaN where latency did not come back, and where
    nothing went wrong: ``troubles`` and ``unrecovered`` tell. Shares of backends and kinds of errors are in the JSON
    only.
    """
    import pandas as pd

    return pd.DataFrame([_row(each) for each in figures], columns=None if figures else ["scenario", "policy", "seed"])


def _row(each: Figures) -> dict[str, object]:
    comparable = [trouble for trouble in each.recovery if trouble.before_ms is not None]
    returns = [trouble.return_s for trouble in comparable if trouble.ends_s is not None]
    return {
        "scenario": each.scenario,
        "policy": each.policy,
        "seed": each.seed,
        "options": each.options,
        "requests": each.requests,
        "mean_ms": _number(each.mean_ms),
        "p50_ms": _number(each.p50_ms),
        "p90_ms": _number(each.p90_ms),
        "p99_ms": _number(each.p99_ms),
        "p999_ms": _number(each.p999_ms),
        "error_share": each.errors,
        "refused_share": each.refused,
        "attempts_per_request": _number(each.attempts),
        "troubles": len(comparable),
        "unrecovered": sum(trouble.recovery_s is None for trouble in comparable),
        "recovery_s": _number(worst(comparable)),
        "return_s": _number(max(returns, default=None, key=lambda time: (time is None, time)) if returns else None),
        "fairness": _number(each.fairness),
        "in_flight_first_quarter": each.in_flight[0],
        "in_flight_last_quarter": each.in_flight[-1],
        "queues_grow": each.grows,
        "utilisation": each.utilisation,
        "rate_per_s": each.rate,
        "speedup": _number(each.speedup),
        "stand_in": each.stand_in,
        "skipped_lines": each.skipped,
        "duration_s": each.duration_s,
        "warmup_s": each.warmup_s,
        "drifts": each.drifts,
        "bars": each.bars,
        "wall_s": each.wall_s,
        "requests_per_wall_s": _number(each.requests_per_wall_s),
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value

"""Small scenarios for the tests."""

import warnings
from typing import Any

from simulator.api import OverloadWarning, run
from simulator.result import Run


def scenario(**given: Any) -> dict[str, Any]:
    """Two equal backends, no network, no checks, constant work of 10 ms at 50 requests a second; or as `given`."""
    return {
        "description": "a test",
        "duration_s": 10.0,
        "warmup_s": 0.0,
        "workload": {
            "arrivals": {"kind": "even"},
            "classes": [{"name": "request", "work": {"kind": "constant", "mean_ms": 10.0}}],
        },
        "load": {"rate": 50.0},
        "fleet": [{"name": "server", "count": 2, "round_trip_s": 0.0}],
        "health_check": None,
        "ejection": None,
        **given,
    }


def simulated(policy: str = "round_robin", seed: int = 0, **given: Any) -> Run:
    """A run of `scenario`, whatever its load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OverloadWarning)
        return run(scenario(**given), policy, seed, allow_overload=True)

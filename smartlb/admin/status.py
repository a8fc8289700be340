"""The router's state as one JSON object, for `GET /status` and the live views that read it."""

from typing import Any

from smartlb import __version__
from smartlb.admin.state import RouterState
from smartlb.admin.traffic import BackendWindow
from smartlb.config.numbering import Member
from smartlb.control.rise_fall import Health
from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from smartlb.core.snapshot import Matrix, Snapshot

Json = dict[str, Any]


def status(state: RouterState) -> Json:
    """The state now; docs/operations.md describes it."""
    now_s = state.clock()
    snapshot = state.snapshot()
    return {
        "version": __version__,
        "uptime_s": round(now_s - state.started_s, 3),
        "generation": state.generation,
        "draining_generations": len(state.draining),
        "reload_failed": state.reload_failed,
        "workers": _workers(state),
        "learner": _learner(state, snapshot, now_s),
        "telemetry_lost": state.telemetry_lost(),
        "pools": _pools(state, snapshot, now_s),
        "causes": {
            outcome.label: count
            for outcome in Outcome
            if outcome is not Outcome.COMPLETE and (count := int(state.traffic.outcomes[outcome]))
        },
    }


def _workers(state: RouterState) -> list[Json]:
    return [
        {
            "pid": worker.pid,
            "alive": worker.alive,
            "restarts": worker.restarts,
            "connections": int(gauges[Gauge.CONNECTIONS]),
            "waiting": int(gauges[Gauge.WAITING]),
            "snapshot_version": int(gauges[Gauge.SNAPSHOT_VERSION]),
            "fallback": bool(gauges[Gauge.FALLBACK]),
        }
        for worker, gauges in zip(state.workers, state.segment.gauges, strict=True)
    ]


def _learner(state: RouterState, snapshot: Snapshot | None, now_s: float) -> Json | None:
    learner = state.learner
    if learner is None:
        return None
    return {
        "alive": learner.alive,
        "pid": learner.pid,
        "restarts": learner.restarts,
        "snapshot_version": snapshot.version if snapshot else 0,
        "snapshot_age_s": round(max(0.0, now_s - snapshot.published_s), 3) if snapshot else None,
        "samples": snapshot.samples if snapshot else 0,
        "drifts": snapshot.drifts if snapshot else 0,
    }


def _pools(state: RouterState, snapshot: Snapshot | None, now_s: float) -> Json:
    in_flight = state.in_flight()
    requests = state.traffic.by_backend().tolist()
    windows = state.traffic.window(now_s)
    return {
        name: {
            "policy": state.config.pools[name].policy.name,
            "backends": [
                {
                    **_backend(state, state.numbering.backends[index]),
                    "in_flight": in_flight[index],
                    "requests": requests[index],
                    "failures": int(state.traffic.failures[index]),
                    "window": _window(windows[index]),
                    **_predictions(state, snapshot if state.learned(name) else None, index),
                }
                for index in members
                if not state.numbering.backends[index].vacant
            ],
            **_discovery(state, name),
        }
        for name, members in state.numbering.pools.items()
    }


def _backend(state: RouterState, member: Member) -> Json:
    index = member.index
    return {
        "name": member.settings.label,
        "address": member.settings.address,
        "eligible": state.eligibility.eligible(index),
        "health": str(state.health.health(index) if state.health else Health.UNKNOWN),
        "ejected": state.ejector.ejected(index),
        "drained": state.eligibility.drained(index),
        **({"leaving": True} if member.leaving else {}),
        "reason": "; ".join(state.eligibility.reasons(index)),
    }


def _discovery(state: RouterState, pool: str) -> Json:
    """How it is with the discovery of a pool; nothing where it has none."""
    standing = state.discovery.standings.get(pool) if state.discovery else None
    if standing is None:
        return {}
    return {
        "discovery": {
            "source": standing.kind,
            "found": len(standing.backends),
            "room": standing.settings.max_backends,
            "failure": standing.failure or None,
        }
    }


def _window(window: BackendWindow) -> Json:
    return {
        "requests": window.requests,
        "failures": window.failures,
        "share": round(window.share, 4),
        "p50_ms": _milliseconds(window.p50_s),
        "p99_ms": _milliseconds(window.p99_s),
    }


def _predictions(state: RouterState, snapshot: Snapshot | None, index: int) -> Json:
    def by_class(matrix: Matrix, factor: float = 1.0) -> dict[str, float]:
        values = (matrix[:, index] * factor).tolist()
        return dict(zip(state.numbering.classes, values, strict=True))

    if snapshot is None:
        return {"weight": {}, "base_ms": {}, "slope_ms": {}, "error_rate": {}}
    return {
        "weight": by_class(snapshot.weight),
        "base_ms": by_class(snapshot.base_s, 1e3),
        "slope_ms": by_class(snapshot.slope_s, 1e3),
        "error_rate": by_class(snapshot.error_rate),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)

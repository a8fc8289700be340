"""The metrics, in Prometheus' terms; docs/operations.md says what each one answers."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from smartlb import __version__
from smartlb.admin.histogram import BOUNDS_S, Histogram
from smartlb.admin.request_counts import STATUS_CLASSES
from smartlb.admin.state import RouterState
from smartlb.config.numbering import Member
from smartlb.control.rise_fall import Health
from smartlb.core.outcome import Outcome
from smartlb.core.segment import Gauge
from smartlb.core.snapshot import Snapshot
from smartlb.learning.cells import DROP_REASONS

_BACKEND = ("pool", "backend")
_LEARNED = (*_BACKEND, "request_class")
_DISCOVERY = ("pool", "source")

_WORKER_GAUGES: dict[Gauge, tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str]] = {
    Gauge.CONNECTIONS: (GaugeMetricFamily, "connections", "Open client connections."),
    Gauge.CONNECTIONS_REFUSED: (
        CounterMetricFamily,
        "connections_refused",
        "Client connections closed, and datagrams dropped, because of limits.connections and limits.udp_sessions.",
    ),
    Gauge.WAITING: (GaugeMetricFamily, "waiting", "Requests in the pools' queues."),
    Gauge.SNAPSHOT_VERSION: (GaugeMetricFamily, "snapshot_version", "Learned snapshot in use; 0 for none."),
    Gauge.FALLBACK: (GaugeMetricFamily, "fallback", "1 while learned pools are on their fallback policy."),
    Gauge.LOG_LINES_DROPPED: (
        CounterMetricFamily,
        "log_lines_dropped",
        "Access log lines dropped because their writer was behind.",
    ),
    Gauge.CONNECTS: (CounterMetricFamily, "connects", "Connections opened to backends, successfully or not."),
    Gauge.STALE_RETRIES: (
        CounterMetricFamily,
        "stale_retries",
        "Requests sent again because an idle connection was closed under them.",
    ),
    Gauge.RETRIES: (CounterMetricFamily, "retries", "Further attempts at requests."),
    Gauge.RETRIES_REFUSED: (
        CounterMetricFamily,
        "retries_refused",
        "Retries not made because the budget of their pool was used up.",
    ),
    Gauge.TLS_HANDSHAKES: (CounterMetricFamily, "tls_handshakes", "TLS handshakes with clients, completed."),
    Gauge.TLS_HANDSHAKES_FAILED: (
        CounterMetricFamily,
        "tls_handshakes_failed",
        "TLS handshakes with clients that failed or took too long.",
    ),
    Gauge.DRAINING: (GaugeMetricFamily, "draining", "1 once it accepts no more connections."),
    Gauge.UDP_SESSIONS: (GaugeMetricFamily, "udp_sessions", "Sessions of udp listeners."),
    Gauge.AFFINITY_KEPT: (
        CounterMetricFamily,
        "affinity_kept",
        "Attempts at requests that affinity, not the policy, sent to their backend.",
    ),
    Gauge.AFFINITY_LOST: (
        CounterMetricFamily,
        "affinity_lost",
        "Attempts at requests that were bound to a backend that could not have them.",
    ),
    Gauge.HEDGES: (CounterMetricFamily, "hedges", "Second attempts at requests while the first one was under way."),
    Gauge.HEDGES_WON: (CounterMetricFamily, "hedges_won", "Hedges that answered before the first attempt did."),
    Gauge.HEDGES_REFUSED: (
        CounterMetricFamily,
        "hedges_refused",
        "Hedges not sent because the budget of their pool was used up.",
    ),
    Gauge.INTERNAL_ERRORS: (CounterMetricFamily, "internal_errors", "Errors that nobody foresaw, beside requests."),
    Gauge.MIRRORED: (CounterMetricFamily, "mirrored", "Copies of requests made for mirrors."),
    Gauge.MIRROR_DROPPED: (
        CounterMetricFamily,
        "mirror_dropped",
        "Copies not made because too many were under way.",
    ),
    Gauge.HTTP2_CONNECTIONS: (GaugeMetricFamily, "http2_connections", "Open HTTP/2 connections of clients."),
    Gauge.HTTP2_CALMED: (
        CounterMetricFamily,
        "http2_calmed",
        "HTTP/2 connections closed because the client reset streams or sent control frames too often.",
    ),
    Gauge.HTTP2_REFUSED: (
        CounterMetricFamily,
        "http2_refused",
        "Requests refused because of limits.http2_requests and limits.http2_requests_per_client.",
    ),
}


def make_registry(state: RouterState) -> CollectorRegistry:
    """A registry of its own with the router's metrics and those of the supervisor's process."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(RouterCollector(state))
    return registry


class RouterCollector(Collector):
    """Reads `state` anew at every scrape."""

    def __init__(self, state: RouterState) -> None:
        self._state = state

    def describe(self) -> list[Metric]:
        """Nothing: what there is to collect depends on the state."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        yield InfoMetricFamily("smartlb_build", "The version that runs.", value={"version": __version__})
        yield from self._traffic()
        yield from self._latency()
        yield from self._backends()
        yield from self._discovery()
        yield from self._predictions()
        yield from self._learner()
        yield from self._workers()
        yield from self._reloads()
        yield from self._lost()

    def _members(self) -> list[tuple[Member, list[str]]]:
        return [
            (member, [member.pool, member.settings.label])
            for member in self._state.numbering.backends
            if not member.vacant
        ]

    def _traffic(self) -> Iterator[Metric]:
        traffic = self._state.traffic
        # Requests that reached no backend: their pool is that of their route, where they matched one.
        labels = {member.index: labels for member, labels in self._members()}
        labels[len(self._state.numbering.backends)] = ["", ""]
        numbering = self._state.numbering
        routes = [*zip(numbering.routes, numbering.route_pools, strict=True), ("", "")]

        requests = CounterMetricFamily(
            "smartlb_requests", "Requests, one count an attempt.", labels=("route", *_BACKEND, "status_class")
        )
        for each in traffic.requests:
            if each.backend not in labels:
                continue  # it is gone
            route, route_pool = routes[each.route]
            pool, name = labels[each.backend]
            requests.add_metric([route, pool or route_pool, name, STATUS_CLASSES[each.status_class]], each.requests)
        yield requests

        failures = CounterMetricFamily("smartlb_failures", "Requests that did not complete.", labels=("cause", "blame"))
        for outcome in Outcome:
            if outcome is not Outcome.COMPLETE:
                failures.add_metric([outcome.label, str(outcome.blame)], int(traffic.outcomes[outcome]))
        yield failures

        for name, help_, values in (
            (
                "backend_failures",
                "Requests that failed by the backend's doing: broken, 5xx or 429.",
                traffic.failures,
            ),
            ("request_bytes", "Body bytes received from clients.", traffic.request_bytes),
            ("response_bytes", "Body bytes received from backends.", traffic.response_bytes),
        ):
            family = CounterMetricFamily(f"smartlb_{name}", help_, labels=_BACKEND)
            for backend, label in labels.items():
                if backend < len(values):
                    family.add_metric(label, int(values[backend]))
            yield family

    def _latency(self) -> Iterator[Metric]:
        traffic = self._state.traffic
        yield self._histogram(
            "smartlb_request_duration_seconds", "From dispatch to the end of the exchange.", traffic.total_s
        )
        yield self._histogram(
            "smartlb_time_to_first_byte_seconds",
            "From dispatch to the response's first byte.",
            traffic.first_byte_s,
        )

    def _histogram(self, name: str, help_: str, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(name, help_, labels=_LEARNED)
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        for member, labels in self._members():
            for request_class, class_name in enumerate(self._state.numbering.classes):
                counts = histogram.counts[member.index, request_class].cumsum().tolist()
                if counts[-1]:
                    buckets = list(zip(bounds, counts, strict=True))
                    family.add_metric(
                        [*labels, class_name], buckets, float(histogram.sums[member.index, request_class])
                    )
        return family

    def _backends(self) -> Iterator[Metric]:
        state = self._state
        in_flight = GaugeMetricFamily("smartlb_in_flight", "Requests at the backend now.", labels=_BACKEND)
        eligible = GaugeMetricFamily("smartlb_backend_eligible", "1 where it may be picked.", labels=_BACKEND)
        healthy = GaugeMetricFamily("smartlb_backend_healthy", "0 while checks fail.", labels=_BACKEND)
        ejected = GaugeMetricFamily("smartlb_backend_ejected", "1 while ejected.", labels=_BACKEND)
        drained = GaugeMetricFamily("smartlb_backend_drained", "1 while drained.", labels=_BACKEND)
        ejections = CounterMetricFamily("smartlb_ejections", "Ejections.", labels=_BACKEND)
        counts = state.in_flight()
        for member, labels in self._members():
            index = member.index
            in_flight.add_metric(labels, counts[index])
            eligible.add_metric(labels, state.eligibility.eligible(index))
            if state.config.pools[member.pool].health_check is not None and state.health is not None:
                healthy.add_metric(labels, state.health.health(index) is not Health.UNHEALTHY)
            ejected.add_metric(labels, state.ejector.ejected(index))
            drained.add_metric(labels, state.eligibility.drained(index))
            ejections.add_metric(labels, state.ejector.ejections(index))
        panic = GaugeMetricFamily("smartlb_pool_panic", "1 while health is ignored in the pool.", labels=["pool"])
        for name in state.numbering.pools:
            panic.add_metric([name], state.eligibility.panics(name))
        yield from (in_flight, eligible, healthy, ejected, drained, ejections, panic)

    def _discovery(self) -> Iterator[Metric]:
        standings = self._state.discovery.standings if self._state.discovery else {}
        if not standings:
            return
        up = GaugeMetricFamily(
            "smartlb_discovery_up", "0 while its source cannot say which backends there are.", labels=_DISCOVERY
        )
        failures = CounterMetricFamily("smartlb_discovery_failures", "Looks that failed.", labels=_DISCOVERY)
        found = GaugeMetricFamily("smartlb_discovery_backends", "Backends found last.", labels=_DISCOVERY)
        for pool, standing in standings.items():
            labels = [pool, standing.kind]
            up.add_metric(labels, not standing.failure)
            failures.add_metric(labels, standing.failures)
            found.add_metric(labels, len(standing.backends))
        yield from (up, failures, found)

    def _predictions(self) -> Iterator[Metric]:
        snapshot = self._state.snapshot()
        for name, help_, matrix in (
            ("backend_weight", "Learned weight; a pool's weights sum to 1 within a class.", "weight"),
            ("backend_predicted_cost_seconds", "Predicted cost of a request at the idle backend.", "base_s"),
            (
                "backend_predicted_cost_slope_seconds",
                "What each request in flight adds to the cost.",
                "slope_s",
            ),
            ("backend_predicted_error_ratio", "Predicted share of requests that fail.", "error_rate"),
        ):
            family = GaugeMetricFamily(f"smartlb_{name}", help_, labels=_LEARNED)
            if snapshot is not None:
                self._add_matrix(family, getattr(snapshot, matrix))
            yield family

    def _add_matrix(self, family: GaugeMetricFamily, matrix: Any) -> None:
        for member, labels in self._members():
            if self._state.learned(member.pool):
                for class_name, value in zip(
                    self._state.numbering.classes, matrix[:, member.index].tolist(), strict=True
                ):
                    family.add_metric([*labels, class_name], value)

    def _learner(self) -> Iterator[Metric]:
        learner = self._state.learner
        if learner is None:
            return
        yield GaugeMetricFamily("smartlb_learner_up", "1 while it runs and shows life.", value=learner.alive)
        yield CounterMetricFamily("smartlb_learner_restarts", "Times it ended unasked.", value=learner.restarts)
        yield CounterMetricFamily(
            "smartlb_learner_internal_errors",
            "Errors that nobody foresaw.",
            value=int(self._state.segment.learner_errors[0]),
        )
        dropped = CounterMetricFamily(
            "smartlb_learner_dropped", "Records that teach nothing because they cannot be true.", labels=["reason"]
        )
        for reason in DROP_REASONS:
            dropped.add_metric([reason], self._state.traffic.dropped[reason])
        yield dropped
        snapshot = self._state.snapshot()
        if snapshot is not None:
            yield from self._published(snapshot)

    def _published(self, snapshot: Snapshot) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "smartlb_learner_snapshot_age_seconds",
            "Since the latest snapshot was published.",
            value=max(0.0, self._state.clock() - snapshot.published_s),
        )
        yield GaugeMetricFamily(
            "smartlb_learner_snapshot_version", "Number of the latest snapshot.", value=snapshot.version
        )
        yield CounterMetricFamily(
            "smartlb_learner_samples",
            "Records learned from since the learner's start.",
            value=snapshot.samples,
        )
        yield CounterMetricFamily(
            "smartlb_learner_drifts", "Drifts detected since the learner's start.", value=snapshot.drifts
        )

    def _workers(self) -> Iterator[Metric]:
        workers = self._state.workers
        up = GaugeMetricFamily("smartlb_worker_up", "1 while it runs and shows life.", labels=["worker"])
        restarts = CounterMetricFamily("smartlb_worker_restarts", "Times it ended unasked.", labels=["worker"])
        for number, worker in enumerate(workers):
            up.add_metric([str(number)], worker.alive)
            restarts.add_metric([str(number)], worker.restarts)
        yield from (up, restarts)
        for gauge, (kind, name, help_) in _WORKER_GAUGES.items():
            family = kind(f"smartlb_worker_{name}", help_, labels=["worker"])
            for number in range(len(workers)):
                family.add_metric([str(number)], float(self._state.segment.gauges[number, gauge]))
            yield family

    def _reloads(self) -> Iterator[Metric]:
        state = self._state
        yield GaugeMetricFamily(
            "smartlb_generation", "Configurations applied since the start, the first included.", value=state.generation
        )
        yield GaugeMetricFamily(
            "smartlb_generations_draining", "Earlier ones with requests under way.", value=len(state.draining)
        )
        yield GaugeMetricFamily(
            "smartlb_reload_failed", "1 where the last reload was refused.", value=state.reload_failed
        )

    def _lost(self) -> Iterator[Metric]:
        yield CounterMetricFamily(
            "smartlb_telemetry_lost",
            "Records overwritten before they were read.",
            value=self._state.telemetry_lost(),
        )
        errors = CounterMetricFamily(
            "smartlb_internal_errors", "Errors of the supervisor that nobody foresaw.", labels=["duty"]
        )
        for duty, count in sorted(self._state.errors.items()):
            errors.add_metric([duty], count)
        yield errors
        yield CounterMetricFamily(
            "smartlb_telemetry_invalid",
            "Records that no worker can have meant; they are counted nowhere else.",
            value=self._state.traffic.invalid,
        )
        access_log = self._state.access_log
        if access_log is not None:
            yield CounterMetricFamily("smartlb_access_log_lines", "Access log lines written.", value=access_log.written)
            yield CounterMetricFamily(
                "smartlb_access_log_lines_lost",
                "Access log lines that could not be written.",
                value=access_log.lost,
            )

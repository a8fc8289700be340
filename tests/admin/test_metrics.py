"""The metrics, as Prometheus reads them."""

from collections.abc import Callable

import pytest
from prometheus_client import generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from smartlb import __version__
from smartlb.admin.metrics import make_registry
from smartlb.admin.state import RouterState
from smartlb.control.rise_fall import Health
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, NO_ROUTE, Records
from smartlb.core.segment import Gauge
from smartlb.core.snapshot import Snapshot

MakeRecords = Callable[..., Records]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(state: RouterState) -> dict[str, Metric]:
    text = generate_latest(make_registry(state)).decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


class Scraped:
    """Sample values by name and labels."""

    def __init__(self, state: RouterState) -> None:
        self.families = scrape(state)
        self._samples: Samples = {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self._samples.get((name, tuple(sorted(labels.items()))))


def test_requests_carry_route_pool_backend_and_status_class(state: RouterState, make_records: MakeRecords) -> None:
    refused = {"backend": NO_BACKEND, "status": 503, "outcome": Outcome.QUEUE_FULL, "route": 1}
    lost = {"backend": NO_BACKEND, "status": 404, "outcome": Outcome.NO_ROUTE, "route": NO_ROUTE}
    state.traffic.add(make_records({}, {}, {"backend": 2, "route": 1, "status": 301}, refused, lost), 100.0)
    value = Scraped(state)
    name = "smartlb_requests_total"
    assert value(name, route="pages", pool="web", backend="a", status_class="2xx") == 2
    assert value(name, route="calls", pool="api", backend="127.0.0.1:3", status_class="3xx") == 1
    assert value(name, route="calls", pool="api", backend="", status_class="5xx") == 1
    assert value(name, route="", pool="", backend="", status_class="4xx") == 1
    assert sum(sample.value for sample in value.families["smartlb_requests"].samples) == 5


def test_failures_name_cause_and_blame_and_start_at_zero(state: RouterState, make_records: MakeRecords) -> None:
    state.traffic.add(make_records({"outcome": Outcome.RESET}, {"status": 500}), 100.0)
    value = Scraped(state)
    assert value("smartlb_failures_total", cause="reset", blame="backend") == 1
    assert value("smartlb_failures_total", cause="queue_full", blame="router") == 0
    assert value("smartlb_failures_total", cause="client_gone", blame="client") == 0
    assert len(value.families["smartlb_failures"].samples) == len(Outcome) - 1
    assert value("smartlb_backend_failures_total", pool="web", backend="a") == 2
    assert value("smartlb_backend_failures_total", pool="web", backend="b") == 0


def test_bytes(state: RouterState, make_records: MakeRecords) -> None:
    state.traffic.add(make_records({"request_bytes": 5, "response_bytes": 70}), 100.0)
    value = Scraped(state)
    assert value("smartlb_request_bytes_total", pool="web", backend="a") == 5
    assert value("smartlb_response_bytes_total", pool="web", backend="a") == 70


def test_histograms_are_cumulative_and_end_with_the_count(state: RouterState, make_records: MakeRecords) -> None:
    state.traffic.add(
        make_records(
            {"request_class": 1, "total_s": 0.004, "first_byte_s": 0.002},
            {"request_class": 1, "total_s": 0.400, "first_byte_s": float("nan")},
        ),
        100.0,
    )
    value = Scraped(state)
    labels = {"pool": "web", "backend": "a", "request_class": "search"}
    name = "smartlb_request_duration_seconds"
    assert value(f"{name}_bucket", **labels, le="0.0025") == 0
    assert value(f"{name}_bucket", **labels, le="0.005") == 1
    assert value(f"{name}_bucket", **labels, le="0.5") == 2
    assert value(f"{name}_bucket", **labels, le="+Inf") == 2
    assert value(f"{name}_count", **labels) == 2
    assert value(f"{name}_sum", **labels) == pytest.approx(0.404)
    assert value("smartlb_time_to_first_byte_seconds_count", **labels) == 1


def test_backends(state: RouterState, make_records: MakeRecords) -> None:
    state.segment.in_flight[0, 1] = 3
    state.segment.in_flight[1, 1] = 4
    state.eligibility.set_drained(1, True)
    failures = make_records(*[{"backend": 0, "outcome": Outcome.RESET}] * 5)
    for ejected in state.ejector.observe(failures, 100.0):
        state.eligibility.set_ejected(ejected.index, True, ejected.reason)
    value = Scraped(state)
    a, b = {"pool": "web", "backend": "a"}, {"pool": "web", "backend": "b"}
    assert value("smartlb_in_flight", **b) == 7
    assert value("smartlb_backend_drained", **b) == 1
    assert value("smartlb_backend_drained", **a) == 0
    assert value("smartlb_backend_ejected", **a) == 1
    assert value("smartlb_ejections_total", **a) == 1
    assert value("smartlb_backend_eligible", **a) == value("smartlb_backend_eligible", **b) == 0
    assert value("smartlb_backend_eligible", pool="api", backend="127.0.0.1:3") == 1
    assert state.health is not None
    assert state.health.health(0) is Health.UNKNOWN
    assert value("smartlb_backend_healthy", **a) == 1
    # No health check, no word on health.
    assert value("smartlb_backend_healthy", pool="api", backend="127.0.0.1:3") is None


def test_predictions_are_exported_for_learned_pools_with_a_snapshot(state: RouterState, snapshot: Snapshot) -> None:
    labels = {"pool": "web", "backend": "b", "request_class": "search"}
    assert Scraped(state)("smartlb_backend_weight", **labels) is None
    state.segment.snapshot.publish(snapshot)
    value = Scraped(state)
    assert value("smartlb_backend_weight", **labels) == 0.5
    assert value("smartlb_backend_predicted_cost_seconds", **labels) == 0.04
    assert value("smartlb_backend_predicted_cost_slope_seconds", **labels) == 0.001
    assert value("smartlb_backend_predicted_error_ratio", **labels) == 0.0
    assert value("smartlb_backend_weight", **{**labels, "backend": "a", "request_class": "default"}) == 0.75
    pools = {sample.labels["pool"] for sample in value.families["smartlb_backend_weight"].samples}
    assert pools == {"web"}


def test_the_learner(state: RouterState, snapshot: Snapshot) -> None:
    assert Scraped(state)("smartlb_learner_snapshot_age_seconds") is None
    state.segment.snapshot.publish(snapshot)
    value = Scraped(state)
    assert value("smartlb_learner_up") == 1
    assert value("smartlb_learner_dropped_total", reason="latency") == 0
    assert value("smartlb_learner_restarts_total") == 2
    assert value("smartlb_learner_snapshot_age_seconds") == 0.5
    assert value("smartlb_learner_snapshot_version") == 5
    assert value("smartlb_learner_samples_total") == 1000
    assert value("smartlb_learner_drifts_total") == 3
    state.learner = None
    assert not any(name.startswith("smartlb_learner") for name in Scraped(state).families)


def test_a_snapshot_that_is_being_replaced_leaves_the_last_one(state: RouterState, snapshot: Snapshot) -> None:
    state.segment.snapshot.publish(snapshot)
    assert state.snapshot() is not None
    state.segment.snapshot._header["sequence"] += 1  # as while a writer is at work
    assert state.segment.snapshot.read() is None
    assert Scraped(state)("smartlb_learner_snapshot_version") == 5


@pytest.mark.parametrize("gauge", list(Gauge))
def test_every_gauge_of_a_worker_is_exported(state: RouterState, gauge: Gauge) -> None:
    before = Scraped(state)
    state.segment.gauges[1, gauge] = 17.0
    after = Scraped(state)
    changed = [
        (sample.labels["worker"], sample.value)
        for name, family in after.families.items()
        if name.startswith("smartlb_worker_")
        for sample in family.samples
        if before(sample.name, **sample.labels) != sample.value
    ]
    assert changed == [("1", 17.0)]


def test_workers_and_what_was_lost(state: RouterState) -> None:
    state.workers[0].alive = False
    value = Scraped(state)
    assert value("smartlb_worker_up", worker="0") == 0
    assert value("smartlb_worker_up", worker="1") == 1
    assert value("smartlb_worker_restarts_total", worker="1") == 1
    assert value("smartlb_telemetry_lost_total") == 7
    assert value("smartlb_build_info", version=__version__) == 1
    assert "process_resident_memory_bytes" in value.families

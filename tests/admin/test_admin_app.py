"""The admin API over HTTP."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from smartlb import __version__
from smartlb.admin.app import make_app
from smartlb.admin.state import RouterState
from smartlb.config.model import Admin
from smartlb.core.outcome import Outcome
from smartlb.core.record import NO_BACKEND, Records
from smartlb.core.segment import Gauge
from smartlb.core.snapshot import Snapshot

Client = TestClient[Any, Any]
MakeRecords = Callable[..., Records]


@pytest.fixture
async def client(state: RouterState) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(state), host="127.0.0.1")) as client:
        yield client


async def test_the_index_lists_every_endpoint(client: Client) -> None:
    text = await (await client.get("/")).text()
    assert f"smartlb {__version__}" in text
    for resource in client.server.app.router.resources():  # type: ignore[attr-defined]
        assert resource.canonical in text


async def test_metrics_in_both_formats(client: Client, state: RouterState, snapshot: Snapshot) -> None:
    state.segment.snapshot.publish(snapshot)
    response = await client.get("/metrics")
    assert response.headers["Content-Type"].startswith("text/plain; version=")
    names = {family.name for family in text_string_to_metric_families(await response.text())}
    response = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    families = parse_openmetrics(await response.text())  # type: ignore[no-untyped-call]
    assert "smartlb_requests" in names & {family.name for family in families}


async def test_healthz(client: Client) -> None:
    response = await client.get("/healthz")
    assert (response.status, await response.text()) == (200, "ok\n")


async def test_readyz_says_what_is_missing(client: Client, state: RouterState) -> None:
    response = await client.get("/readyz")
    assert (response.status, await response.json()) == (200, {"ready": True, "missing": []})
    for worker in state.workers:
        worker.alive = False
    state.eligibility.set_health(0, False, "answered 500")
    assert (await (await client.get("/readyz")).json())["missing"] == ["no worker is up"]
    state.eligibility.set_drained(1, True)
    response = await client.get("/readyz")
    assert response.status == 503
    assert await response.json() == {
        "ready": False,
        "missing": [
            "no worker is up",
            "pool web has no eligible backend: a is unhealthy: answered 500, b is drained: by an operator",
        ],
    }


async def test_status_before_any_traffic(client: Client) -> None:
    status = await (await client.get("/status")).json()
    assert status["uptime_s"] == 60.0
    assert status["learner"] == {
        "alive": True,
        "pid": 13,
        "restarts": 2,
        "snapshot_version": 0,
        "snapshot_age_s": None,
        "samples": 0,
        "drifts": 0,
    }
    assert status["causes"] == {}
    assert status["pools"]["api"] == {
        "policy": "round_robin",
        "backends": [
            {
                "name": "127.0.0.1:3",
                "address": "127.0.0.1:3",
                "eligible": True,
                "health": "unknown",
                "ejected": False,
                "drained": False,
                "reason": "",
                "in_flight": 0,
                "requests": 0,
                "failures": 0,
                "window": {"requests": 0, "failures": 0, "share": 0.0, "p50_ms": None, "p99_ms": None},
                "weight": {},
                "base_ms": {},
                "slope_ms": {},
                "error_rate": {},
            }
        ],
    }


async def test_status_of_a_router_at_work(
    client: Client, state: RouterState, snapshot: Snapshot, make_records: MakeRecords
) -> None:
    state.segment.snapshot.publish(snapshot)
    state.segment.gauges[0, Gauge.CONNECTIONS] = 9
    state.segment.gauges[0, Gauge.FALLBACK] = 1
    state.segment.in_flight[:, 0] = [2, 3]
    state.eligibility.set_health(1, False, "answered 500")
    refused = {"backend": NO_BACKEND, "outcome": Outcome.QUEUE_TIMEOUT}
    state.traffic.add(make_records(*[{"total_s": 0.1}] * 3, {"backend": 1, "outcome": Outcome.RESET}, refused), 100.0)
    status = await (await client.get("/status")).json()
    assert status["version"] == __version__
    assert status["telemetry_lost"] == 7
    assert status["workers"][0] == {
        "pid": 11,
        "alive": True,
        "restarts": 0,
        "connections": 9,
        "waiting": 0,
        "snapshot_version": 0,
        "fallback": True,
    }
    assert status["learner"]["snapshot_age_s"] == 0.5
    assert status["causes"] == {"reset": 1, "queue_timeout": 1}
    first, second = status["pools"]["web"]["backends"]
    assert (first["in_flight"], first["requests"], first["failures"]) == (5, 3, 0)
    assert first["window"]["share"] == 0.75
    assert first["window"]["p50_ms"] == pytest.approx(100, rel=0.026)
    assert first["weight"] == {"default": 0.75, "search": 0.5}
    assert first["base_ms"] == {"default": 10.0, "search": 30.0}
    assert first["slope_ms"] == {"default": 1.0, "search": 1.0}
    assert first["error_rate"] == {"default": 0.0, "search": 0.0}
    assert (second["eligible"], second["reason"]) == (False, "unhealthy: answered 500")
    assert second["failures"] == second["window"]["failures"] == 1
    # A pool that does not learn shows no weights, whatever the snapshot holds.
    assert status["pools"]["api"]["backends"][0]["weight"] == {}


async def test_status_without_a_learner_or_health_checks(client: Client, state: RouterState) -> None:
    state.learner = state.health = None
    status = await (await client.get("/status")).json()
    assert status["learner"] is None
    assert status["pools"]["web"]["backends"][0]["health"] == "unknown"


async def test_drain_and_undrain(client: Client, state: RouterState) -> None:
    state.segment.in_flight[1, 1] = 4
    response = await client.post("/backends/web/b/drain")
    assert (response.status, await response.json()) == (
        200,
        {
            "pool": "web",
            "backend": "b",
            "drained": True,
            "eligible": False,
            "in_flight": 4,
            "eligible_in_pool": 1,
        },
    )
    assert state.segment.eligible.tolist() == [1, 0, 1]
    response = await client.post("/backends/web/b/undrain")
    assert (await response.json())["eligible_in_pool"] == 2
    assert state.segment.eligible.tolist() == [1, 1, 1]
    # A backend without a name goes by its address.
    assert (await client.post("/backends/api/127.0.0.1:3/drain")).status == 200


async def test_an_unknown_pool_or_backend_is_404_with_the_known_ones(client: Client) -> None:
    response = await client.post("/backends/wbe/b/drain")
    assert response.status == 404
    expected = {"error": "there is no pool 'wbe'; known: web, api", "known": ["web", "api"]}
    assert await response.json() == expected
    response = await client.post("/backends/web/c/undrain")
    assert response.status == 404
    assert await response.json() == {"error": "pool web has no backend 'c'; known: a, b", "known": ["a", "b"]}


async def test_draining_takes_a_post(client: Client, state: RouterState) -> None:
    assert (await client.get("/backends/web/b/drain")).status == 405
    assert state.segment.eligible.tolist() == [1, 1, 1]


@pytest.mark.parametrize("origin", ["https://elsewhere.example", "null"])
async def test_pages_of_other_sites_cannot_drain(client: Client, state: RouterState, origin: str) -> None:
    response = await client.post("/backends/web/b/drain", headers={"Origin": origin})
    assert response.status == 403
    assert origin in json.loads(await response.text())["error"]
    assert state.segment.eligible.tolist() == [1, 1, 1]
    own = f"http://{client.host}:{client.port}"
    assert (await client.post("/backends/web/b/drain", headers={"Origin": own})).status == 200


@pytest.mark.parametrize("path", ["/status", "/"])
async def test_names_of_others_do_not_lead_here(client: Client, state: RouterState, path: str) -> None:
    named = {"Host": f"evil.example:{client.port}"}
    response = await client.get(path, headers=named)
    assert response.status == 421
    assert "admin.hosts" in (await response.json())["error"]
    evil = {**named, "Origin": f"http://evil.example:{client.port}"}
    assert (await client.post("/backends/web/b/drain", headers=evil)).status == 421
    assert state.segment.eligible.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9900", "127.0.0.1", "10.1.2.3:9900", "[::1]:9900", "router.x:1"]
)
async def test_names_and_addresses_of_its_own_do(client: Client, state: RouterState, host: str) -> None:
    state.config = state.config.model_copy(update={"admin": Admin(hosts=["router.x"])})
    assert (await client.get("/status", headers={"Host": host})).status == 200


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz"])
async def test_scrapers_have_names_of_their_own(client: Client, path: str) -> None:
    assert (await client.get(path, headers={"Host": "smartlb.monitoring.svc:9900"})).status == 200

"""docs/operations.md says what the code does: metrics, endpoints, causes, limits and log fields."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from pydantic import BaseModel

from smartlb.admin.access_log import AccessLog
from smartlb.admin.app import make_app
from smartlb.admin.metrics import RouterCollector
from smartlb.admin.state import RouterState
from smartlb.config.model import ClientTimeouts, Config, IdleConnections, Limits, Queue, Timeouts
from smartlb.core.outcome import Outcome
from smartlb.core.record import Records
from smartlb.core.snapshot import Snapshot
from smartlb.wire.answers import status_of

TEXT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()

Rows = dict[str, list[str]]


def rows(heading: str) -> Rows:
    """The tables under a heading: first cell to the other cells."""
    section = TEXT.split(f"\n{heading}\n")[1]
    section = re.split(rf"\n#{{1,{heading.count('#')}}} ", section)[0]
    found: Rows = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found[name.strip("`")] = cells
    return found


@pytest.fixture
def families(
    state: RouterState,
    snapshot: Snapshot,
    make_records: Callable[..., Records],
    tmp_path: Path,
) -> list[Metric]:
    """Everything that can be exported, exported."""
    state.segment.snapshot.publish(snapshot)
    state.traffic.add(make_records({}), 100.0)
    state.access_log = AccessLog(str(tmp_path / "log"))
    state.access_log.close()
    state.errors = {"ejection": 1}
    return list(RouterCollector(state).collect())


def exported_name(family: Metric) -> str:
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def test_every_metric_is_documented_with_its_labels(families: list[Metric]) -> None:
    documented = {name: set(cells[0].split(", ")) - {""} for name, cells in rows("## Metrics").items()}
    exported = {
        exported_name(family): {label for sample in family.samples for label in sample.labels} - {"le"}
        for family in families
    }
    assert documented == exported


def test_every_metric_that_the_text_and_the_alerts_name_exists(families: list[Metric]) -> None:
    exported = {exported_name(family) for family in families}
    named = {re.sub("_bucket$", "", name) for name in re.findall(r"smartlb_\w+", TEXT)}
    assert named == exported


def test_every_endpoint_is_documented(state: RouterState) -> None:
    routes = {
        f"{route.method} {route.resource.canonical}"
        for route in make_app(state).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert set(rows("## The admin API")) == routes


def test_every_cause_is_documented_with_its_blame_and_status() -> None:
    expected = {
        outcome.label: (
            str(outcome.blame),
            "" if outcome in (Outcome.CLIENT_GONE, Outcome.HEDGE_LOST, Outcome.TRUNCATED) else str(status_of(outcome)),
        )
        for outcome in Outcome
        if outcome is not Outcome.COMPLETE
    }
    assert {name: tuple(cells[:2]) for name, cells in rows("## Causes").items()} == expected


@pytest.mark.parametrize(
    ("prefix", "section"),
    [
        ("timeouts", ClientTimeouts),
        ("limits", Limits),
        ("pools.NAME.timeouts", Timeouts),
        ("pools.NAME.queue", Queue),
        ("pools.NAME.idle_connections", IdleConnections),
    ],
)
def test_every_timeout_and_limit_is_documented_with_its_default(prefix: str, section: type[BaseModel]) -> None:
    documented = rows("## Timeouts and limits")
    for name, field in section.model_fields.items():
        default = documented.pop(f"{prefix}.{name}")[0]
        assert (None if default == "none" else float(default)) == field.default
    assert not [name for name in documented if name.rpartition(".")[0] == prefix]


def test_the_shutdown_time_is_documented_with_its_default() -> None:
    default = Config.model_fields["shutdown_s"].default
    assert float(rows("## Timeouts and limits")["shutdown_s"][0]) == default

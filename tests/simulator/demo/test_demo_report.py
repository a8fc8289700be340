import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from simulator.demo import chart, report
from simulator.demo.fleet import FLEET
from simulator.demo.load import BROKEN, RESULT, TIMED_OUT, Array
from simulator.demo.scenario import Fault, active, faults
from simulator.demo.settings import Settings
from simulator.demo.summary import Summary, summarise
from simulator.demo.workload import generated

FAULT = Fault("slow-down", "b1", 2.0, 4.0, slow=4.0)


def _results(latency_ms: list[float], status: list[int], step_s: float = 1.0) -> Array:
    results: Array = np.zeros(len(latency_ms), RESULT)
    results["at_s"] = np.arange(len(latency_ms)) * step_s
    results["latency_s"] = np.array(latency_ms) / 1000
    results["status"] = status
    results["late_s"] = 0.001
    return results


def test_time_outs_count_as_latency_and_errors_as_failures_only() -> None:
    results = _results([10, 20, 1, 30, 4000, 2], [200, 200, 500, 200, TIMED_OUT, BROKEN])
    summary = summarise("p", results, [FAULT])
    assert summary.requests == 6
    assert summary.failed == pytest.approx(0.5)
    assert (summary.errors, summary.timeouts) == (2, 1)
    assert summary.mean_ms == pytest.approx((10 + 20 + 30 + 4000) / 4)
    assert summary.p50_ms == pytest.approx(25)
    # Arrived from 2 s to before 4 s, and not an error: the 30 ms one.
    assert summary.fault_p99_ms == {"slow-down": pytest.approx(30)}
    assert summary.late_p99_ms == pytest.approx(1.0)


def test_where_everything_fails_there_is_no_latency_to_show() -> None:
    summary = summarise("p", _results([1, 1], [500, 500]), [FAULT])
    assert (summary.mean_ms, summary.p99_ms, summary.failed) == (None, None, 1.0)
    assert "100.00%" in _printed([summary])


def test_faults_follow_each_other_within_what_is_counted() -> None:
    slow, errors = faults(20.0)
    assert 0 < slow.starts_s < slow.ends_s < errors.starts_s < errors.ends_s < 20.0
    assert active((slow, errors), slow.starts_s) is slow
    assert active((slow, errors), slow.ends_s) is None
    assert {slow.server, errors.server} <= {server.name for server in FLEET}
    assert slow.server != errors.server


def _printed(summaries: list[Summary]) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(report.table(summaries))
    return capture.get()


def _summary(policy: str, latency_ms: float) -> Summary:
    return summarise(policy, _results([latency_ms] * 10, [200] * 10), [FAULT])


def test_the_table_compares_with_learned_wherever_it_stands_and_even_if_it_loses() -> None:
    text = _printed([_summary("round_robin", 50.0), _summary("learned", 100.0)])
    assert "vs" in text
    row = next(line for line in text.splitlines() if "round_robin" in line)
    assert "0.50" in row


def test_the_notes_own_up_to_waiting_for_connections() -> None:
    results = _results([1.0, 1.0], [200, 200])
    settings = Settings(connections=7)
    assert not any("waited" in note for note in report.notes([summarise("p", results, [])], settings))
    results["waited"] = True
    text = " ".join(report.notes([summarise("p", results, [])], settings))
    assert "2 requests waited for one of the generator's 7 connections" in text


def test_the_document_is_json_with_everything_in_the_table() -> None:
    settings = Settings()
    workload = generated(5.0, 50.0, 1)
    summaries = [_summary("learned", 10.0), _summary("round_robin", 30.0)]
    content = report.document(summaries, settings, workload, FLEET, [FAULT], 60.0)
    again = json.loads(json.dumps(content))
    assert [row["policy"] for row in again["policies"]] == ["learned", "round_robin"]
    assert again["policies"][1]["p99_ratio"] == pytest.approx(3.0)
    assert again["settings"]["seed"] == settings.seed
    assert again["fleet"][0]["cores"] == FLEET[0].cores
    assert again["workload"]["speedup"] is None


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    draw = np.random.default_rng(1)
    results = {}
    for policy in ("learned", "round_robin"):
        rows = _results(list(draw.exponential(50.0, 400)), [200] * 400, step_s=0.05)
        rows["backend"] = draw.integers(0, len(FLEET), 400)
        results[policy] = rows
    path = tmp_path / "results.png"
    chart.draw(path, results, FLEET, faults(20.0), 20.0, "a test")
    assert path.read_bytes().startswith(b"\x89PNG")

"""The traces of real systems, where they are there: each loads, with the number of requests that is known of it."""

import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from simulator.workload.traces.source import Trace, TraceSource
from simulator.workload.workload import Workload, prepare

Streams = Callable[[int], Callable[[str], np.random.Generator]]

RECORDED = Path(os.environ.get("SMARTLB_TRACES", "/nonexistent"))

pytestmark = pytest.mark.skipif(not RECORDED.is_dir(), reason="SMARTLB_TRACES names no folder of recorded traces")

NEZHA = """
trace:
  path: nezha-onlineboutique/requests.csv.gz
  columns: {at: start_unix_s, request_class: service, target: operation, duration: duration_us}
  duration_unit: us
"""


@pytest.mark.parametrize(
    ("text", "name", "count", "rate"),
    [
        (
            "{trace: {path: azure-llm-2023/AzureLLMInferenceTrace_conv.csv}, cost: {per_input_token_ms: 0.1}}",
            "azure_llm",
            19_366,
            5.5,
        ),
        ("{trace: {path: nasa-http-1995/access.log.gz}, cost: {base_ms: 2}}", "common_log", 30_969, 0.67),
        ("{trace: {path: mooncake-synthetic/synthetic_trace.jsonl}, cost: {base_ms: 2}}", "mooncake", 3_993, 3.9),
        (NEZHA, "csv", 19_210, 1.32),
    ],
    ids=["azure_llm", "nasa", "mooncake", "nezha"],
)
def test_a_trace_loads_whole(text: str, name: str, count: int, rate: float, streams: Streams) -> None:
    demand = prepare(TypeAdapter(Workload).validate_python(yaml.safe_load(text)), RECORDED, streams(1))
    assert demand.count == count
    assert demand.rate == pytest.approx(rate, rel=0.02)
    assert demand.source.startswith(f"trace: {name} ")
    assert "left out" not in demand.source
    requests = np.concatenate(list(demand.requests(100.0, 1e9, streams(1))))
    assert len(requests) == count
    assert np.all(np.diff(requests["at_s"]) >= 0)
    assert requests["work_s"].mean() == pytest.approx(demand.work_s)


def test_functions_load_minute_by_minute() -> None:
    entries, report = Trace(TraceSource(path="azure-functions-2019"), RECORDED).entries(np.random.default_rng(1))
    minute = list(islice(entries, 5000))
    assert len(minute) == 5000
    assert 480 * 60 <= minute[0].at_s <= minute[-1].at_s < 485 * 60
    assert report.ignored == 0


def test_functions_load_whole() -> None:
    entries, report = Trace(TraceSource(path="azure-functions-2019"), RECORDED).entries(np.random.default_rng(1))
    assert sum(1 for _ in entries) == report.entries == 3_037_902

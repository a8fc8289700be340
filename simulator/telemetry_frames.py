"""What a live router tells of itself, as DataFrames: its access log and its metrics."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulator.workload.traces.format import opened
from smartlb.core.outcome import Outcome, failed

if TYPE_CHECKING:
    import pandas as pd

_TYPES: Final = {
    "arrival_s": "float64",
    "request_bytes": "int64",
    "response_bytes": "int64",
    "in_flight": "int64",
    "queued_ms": "float64",
    "first_byte_ms": "float64",
    "total_ms": "float64",
    "status": "int64",
    "attempt": "int64",
}
_NAMES: Final = ("route", "request_class", "pool", "backend", "method", "target", "client", "request_id", "outcome")
_OUTCOMES: Final = {outcome.label: outcome for outcome in Outcome}
_END: Final = "# EOF"


class TelemetryError(ValueError):
    """What was read is not what a router writes; the message says where, and what was expected."""


def access_log_frame(path: str | Path) -> "pd.DataFrame":
    """A router's access log (docs/operations.md), an attempt at a request a row, by time of arrival.

    Args:
        path: of the file, plain or compressed with gzip. A last line that has no end yet is left out, so the log of a
            router that runs can be read.

    Returns:
        The log's fields as columns: `time` in UTC, numbers as such, names as text that is missing where the log has
        null. Added are `latency_ms`, from the request's arrival to the attempt's end, and `failed`, by its backend's
        doing (a broken exchange, a 5xx or a 429) or because the router had nowhere to send it; what a client caused
        is no failure.

    Raises:
        OSError: the file cannot be read.
        TelemetryError: a line is not of an access log.
    """
    import pandas as pd

    records = []
    with opened(Path(path)) as lines:
        for number, line in enumerate(lines, 1):
            if line.endswith("\n"):
                records.append(_record(line, f"{path}:{number}"))
    frame = pd.DataFrame.from_records(records, columns=["time", *_FIELDS, "failed"])
    frame = frame.astype({**_TYPES, **dict.fromkeys(_NAMES, "string"), "failed": "bool"})
    frame["time"] = pd.to_datetime(frame["time"], format="ISO8601", utc=True)
    # An attempt that was never dispatched counts from its arrival already.
    frame["latency_ms"] = frame["total_ms"] + frame["queued_ms"].where(frame["backend"].notna(), 0.0)
    return frame.sort_values(["arrival_s", "attempt"], kind="stable", ignore_index=True)


_FIELDS: Final = (
    *("arrival_s", "route", "request_class", "pool", "backend", "method", "target", "client", "request_id"),
    *("request_bytes", "response_bytes", "in_flight", "queued_ms", "first_byte_ms", "total_ms"),
    *("status", "outcome", "attempt"),
)


def _record(line: str, where: str) -> tuple[Any, ...]:
    try:
        record = json.loads(line)
        outcome, status = _OUTCOMES[record["outcome"]], record["status"]
        failure = failed(outcome, status) or outcome.blame == "router"
        return (record["time"], *(record[field] for field in _FIELDS), failure)
    except (ValueError, KeyError, TypeError):
        raise TelemetryError(
            f"{where}: not a line of the router's access log: {line.strip()[:60]!r}; expected a JSON object such as "
            '{"time":...,"backend":...,"total_ms":...,"outcome":"complete","attempt":1}'
        ) from None


def metrics_frame(text: str) -> "pd.DataFrame":
    """A scrape of metrics, a sample a row.

    Args:
        text: what `GET /metrics` answered, in Prometheus' text format or in OpenMetrics.

    Returns:
        The columns `metric` (the family, without `_total`), `kind` (such as ``counter``), `sample` (as PromQL calls
        it) and `value`, then one for each label, missing where a sample does not have it.

    Raises:
        TelemetryError: the text is in neither format.
    """
    import pandas as pd
    from prometheus_client import parser
    from prometheus_client.openmetrics import parser as openmetrics

    families = (openmetrics if text.rstrip().endswith(_END) else parser).text_string_to_metric_families
    try:
        rows = [
            {**sample.labels, "metric": family.name, "kind": family.type, "sample": sample.name, "value": sample.value}
            for family in families(text)
            for sample in family.samples
        ]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise TelemetryError(f"not metrics in Prometheus' text format or in OpenMetrics: {error}") from None
    columns = ["metric", "kind", "sample", "value"]
    columns += dict.fromkeys(label for row in rows for label in row if label not in columns)
    frame = pd.DataFrame(rows, columns=columns)
    return frame.astype({name: "float64" if name == "value" else "string" for name in columns})

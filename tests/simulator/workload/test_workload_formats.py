"""What every format of traces in the registry promises, on a small sample of each."""

import gzip
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.workload.traces.entry import Entry
from simulator.workload.traces.reading import TraceError, TraceReport
from simulator.workload.traces.registry import FORMATS, recognise
from simulator.workload.traces.source import Trace, TraceSource

NOT_KNOWN = math.nan


def entry(
    at_s: float,
    duration_s: float = NOT_KNOWN,
    *,
    of: str | None = None,
    size: tuple[float, float] = (0, 0),
    tokens: tuple[float, float] = (0, 0),
    client: str = "",
    target: str = "",
) -> Entry:
    return Entry(at_s, of, duration_s, *size, *tokens, client, target)


@dataclass(frozen=True)
class Sample:
    """Lines of a format, and what they hold.

    The malformed lines come after the good ones; every good line must be recognised where the format has no header.
    """

    good: str
    entries: list[Entry]
    malformed: list[str]
    ignored: int = 0
    options: dict[str, Any] = field(default_factory=dict)


def access_log_line(**changes: Any) -> str:
    record = {
        "time": "2026-01-01T00:00:00.500000Z",
        "arrival_s": 1767225600.5,
        "route": "web",
        "request_class": "page",
        "pool": "web",
        "backend": "a",
        "method": "GET",
        "target": "/x",
        "client": "10.0.0.1",
        "request_id": "r",
        "request_bytes": 10,
        "response_bytes": 2000,
        "in_flight": 1,
        "queued_ms": 0.1,
        "first_byte_ms": 5.0,
        "total_ms": 7.5,
        "status": 200,
        "outcome": "complete",
        "attempt": 1,
    }
    return json.dumps(record | changes, separators=(",", ":"))


HAPROXY = (
    "10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/5/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 "
    '{1wt.eu} {} "GET /index.html HTTP/1.1"'
)

SAMPLES = {
    "access_log": Sample(
        good="\n".join(
            [
                access_log_line(),
                access_log_line(attempt=2),
                access_log_line(arrival_s=1767225600.25, total_ms=None, request_class=None, target="/é?a b"),
            ]
        ),
        entries=[
            entry(1767225600.5, 0.0075, of="page", size=(10, 2000), client="10.0.0.1", target="/x"),
            entry(1767225600.25, size=(10, 2000), client="10.0.0.1", target="/é?a b"),
        ],
        ignored=1,
        malformed=[
            "{",
            "[]",
            "7",
            "[" * 100_000,
            access_log_line(arrival_s="soon"),
            access_log_line(arrival_s=None),
            access_log_line(total_ms=-1),
            access_log_line(response_bytes=-5),
            access_log_line(arrival_s=-1),
        ],
    ),
    "common_log": Sample(
        good='h1 - - [01/Aug/1995:06:00:00 +0000] "GET /a.gif HTTP/1.0" 200 1024\n'
        'h2 - john doe [01/Aug/1995:02:00:01 -0400] "GET /b c.html" 304 -\n'
        'h3 - - [01/Aug/1995:06:00:02 +0000] "-" 408 -\n'
        'h4 - - [01/Aug/1995:06:00:03 +0000] "POST /say?"hi" HTTP/1.0" 200 0\r\n',
        entries=[
            entry(807256800, size=(0, 1024), client="h1", target="/a.gif"),
            entry(807256801, client="h2", target="/b c.html"),
            entry(807256803, client="h4", target='/say?"hi"'),
        ],
        ignored=1,
        malformed=[
            "not a log line at all",
            'h1 - - [01/Foo/1995:06:00:00 +0000] "GET / HTTP/1.0" 200 1024',
            'h1 - - [31/Feb/1995:06:00:00 +0000] "GET / HTTP/1.0" 200 1024',
            'h1 - - [01/Aug/1995:06:00:00 +0000] "GET / HTTP/1.0" 200 many',
            'h1 - - [01/Aug/1965:06:00:00 +0000] "GET / HTTP/1.0" 200 1',
        ],
    ),
    "combined_log": Sample(
        good='::1 - - [06/Feb/2009:12:14:14 +0100] "GET /?q=\\"a\\" HTTP/1.1" 200 5 "http://x/" "Agent \\"1\\" (y)"\n'
        '10.0.0.1 - bob [06/Feb/2009:12:14:15 +0100] "GET /b HTTP/1.1" 304 - "-" "-"\n',
        entries=[
            entry(1233918854, size=(0, 5), client="::1", target='/?q=\\"a\\"'),
            entry(1233918855, client="10.0.0.1", target="/b"),
        ],
        malformed=['10.0.0.1 - - [06/Feb/2009:12:14:15 +0100] "GET /b HTTP/1.1" 304 -', "nonsense"],
    ),
    "nginx": Sample(
        good='10.0.0.1 - - [06/Feb/2009:11:14:14 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8" 1.250\n'
        '10.0.0.2 - - [06/Feb/2009:11:14:14 +0000] "GET /b HTTP/1.1" 200 6 "-" "curl/8" "1.2.3.4" rt=0.005\n'
        '10.0.0.3 - - [06/Feb/2009:11:14:15 +0000] "\\x16\\x03" 400 150 "-" "-" "-"\n'
        '10.0.0.3 - - [06/Feb/2009:11:14:15 +0000] "" 400 0 "-" "-" 60.000\n',
        entries=[
            entry(1233918852.75, 1.25, size=(0, 5), client="10.0.0.1", target="/a"),
            entry(1233918853.995, 0.005, size=(0, 6), client="10.0.0.2", target="/b"),
            entry(1233918855, size=(0, 150), client="10.0.0.3", target=""),
        ],
        ignored=1,
        malformed=['10.0.0.1 - - [06/Feb/2009:11:14:14 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8" fast', "nonsense"],
    ),
    "haproxy": Sample(
        good=f"Feb  6 12:14:14 localhost haproxy[14389]: {HAPROXY}\n"
        f"{HAPROXY.replace('10/5/30/69/109 200 2750', '-1/-1/-1/-1/+7 400 +187')}\n"
        f"{HAPROXY.replace('GET /index.html HTTP/1.1', '<BADREQ>')}\n"
        f"{HAPROXY.replace('10.0.1.2', '2001:db8::1')[:-10]}\n",  # cut by syslog
        entries=[
            entry(1233922454.655, 0.094, size=(0, 2750), client="10.0.1.2", target="/index.html"),
            entry(1233922454.655, 0.007, size=(0, 187), client="10.0.1.2", target="/index.html"),
            entry(1233922454.655, 0.094, size=(0, 2750), client="2001:db8::1", target="/index.html"),
        ],
        ignored=1,
        malformed=[
            "Feb  6 12:14:14 localhost haproxy[14389]: Server static/srv1 is DOWN, reason: Layer4 timeout.",
            HAPROXY.replace("Feb", "Foo"),
        ],
    ),
    "azure_llm": Sample(
        good="TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:15:46.6805900,374,44\n"
        "2023-11-16 18:15:50,396,109\n"
        "2024-05-10 00:00:00.009930+00:00,2162,5\n",
        entries=[
            entry(1700158546.68059, tokens=(374, 44)),
            entry(1700158550, tokens=(396, 109)),
            entry(1715299200.00993, tokens=(2162, 5)),
        ],
        malformed=[
            "2024-05-10 00:00:00.1,374",
            "2024-05-10 00:00:00.1,374,-4",
            "2024-05-10 00:00:00.1,many,4",
            "yesterday,374,4",
        ],
    ),
    "mooncake": Sample(
        good='{"timestamp": 0, "input_length": 900, "output_length": 6, "hash_ids": [7, 8]}\n'
        '{"timestamp": 1500, "input_length": 9000, "output_length": 2, "hash_ids": [7, 8, 9, 10, 11, 12]}\n',
        entries=[entry(0, tokens=(900, 6), target="7.8"), entry(1.5, tokens=(9000, 2), target="7.8.9.10")],
        malformed=[
            '{"timestamp": 0, "input_length": 900, "output_length": 6}',
            '{"timestamp": null, "input_length": 900, "output_length": 6, "hash_ids": []}',
            '{"timestamp": NaN, "input_length": 900, "output_length": 6, "hash_ids": []}',
            '{"timestamp": 0, "input_length": Infinity, "output_length": 6, "hash_ids": []}',
        ],
    ),
    "csv": Sample(
        good='start,duration_us,kind,client,target\n1.5,2000,page,c1,"/a,b"\n2.5,,,c2,/c\n',
        entries=[
            entry(1.5, 0.002, of="page", client="c1", target="/a,b"),
            entry(2.5, client="c2", target="/c"),
        ],
        malformed=["1,2", "soon,1,a,b,c", "3,-1,a,b,c", "nan,1,a,b,c", "3,inf,a,b,c", "3,1,a,b,c,d"],
        options={
            "columns": {"at": "start", "duration": "duration_us", "request_class": "kind"},
            "duration_unit": "us",
        },
    ),
}

LINES = [name for name in FORMATS if name not in ("azure_functions", "parquet")]
every_format = pytest.mark.parametrize("name", LINES)


def read(path: Path, **options: Any) -> tuple[list[Entry], TraceReport]:
    source = TraceSource(path=str(path), **options)
    entries, report = Trace(source, path.parent).entries(np.random.default_rng(1))
    return list(entries), report


def same(found: list[Entry], expected: list[Entry]) -> bool:
    return len(found) == len(expected) and all(
        mine == pytest.approx(its, rel=1e-12, nan_ok=True) if isinstance(its, float | int) else mine == its
        for one, other in zip(found, expected, strict=True)
        for mine, its in zip(one, other, strict=True)
    )


def test_every_line_format_has_a_sample() -> None:
    assert set(SAMPLES) == set(LINES)


@every_format
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "recognised"])
def test_a_sample_is_read(tmp_path: Path, name: str, pack: Callable[[bytes], bytes], named: bool) -> None:
    sample = SAMPLES[name]
    path = tmp_path / "trace"
    path.write_bytes(pack(sample.good.encode()))
    found, report = read(path, **sample.options, reorder_s=86_400, **({"format": name} if named else {}))
    assert same(found, sample.entries)
    assert (report.format, report.entries, report.malformed) == (name, len(found), 0)
    assert report.ignored == sample.ignored
    assert not sample.ignored or report.ignores


@every_format
def test_malformed_lines_are_passed_over_and_counted(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    path = tmp_path / "trace"
    path.write_text("\n".join([sample.good.strip(), "", *sample.malformed, ""]), encoding="utf-8")
    found, report = read(path, format=name, **sample.options)
    assert same(found, sample.entries)
    assert report.malformed == len(sample.malformed)
    assert report.lines == len(sample.good.strip().splitlines()) + 1 + len(sample.malformed)
    assert f"{len(found):,} requests" in str(report)
    assert f"{len(sample.malformed)} malformed lines" in str(report)


@every_format
def test_too_many_malformed_lines_are_refused_with_the_place(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    path = tmp_path / "trace"
    good = sample.good.strip().splitlines()
    path.write_text("\n".join([*good, *["\x00 nonsense"] * 20]))
    with pytest.raises(TraceError) as refused:
        read(path, format=name, **sample.options)
    message = str(refused.value)
    assert message.startswith(f"{path}:{len(good) + 11}: ")
    assert f"expected {FORMATS[name].expected}; found '\\x00 nonsense'" in message
    assert f"11 of {len(good) + 11} lines" in message


@every_format
@pytest.mark.parametrize("text", ["", "\n\n", "\x00\n"])
def test_a_trace_without_requests_is_refused(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(TraceError, match=r"holds no request|no column"):
        read(path, format=name, **SAMPLES[name].options)


@pytest.mark.parametrize("name", [name for name in LINES if name != "csv"])
def test_a_format_recognises_its_own_first_line_only(name: str) -> None:
    line = SAMPLES[name].good.splitlines()[0]
    recognised = [other for other, known in FORMATS.items() if known.recognise(line)]
    # Whatever is in combined format, nginx may have written; and the LLM trace is comma-separated too.
    allowed = {"combined_log": ["combined_log", "nginx"], "azure_llm": ["azure_llm", "csv"]}
    assert recognised == allowed.get(name, [name])
    found = recognise(line)
    assert found is not None
    assert found.name == name


@every_format
@pytest.mark.parametrize("noise", ["x", " ", '"', "\\", '\\"', "[", "[]", "1:1 ", "a,"])
def test_long_nonsense_takes_no_long_time(tmp_path: Path, name: str, noise: str) -> None:
    path = tmp_path / "trace"
    line = SAMPLES[name].good.splitlines()[-1]
    path.write_text("\n".join([SAMPLES[name].good.strip(), noise * 30_000 + ".", line[:60] + noise * 30_000 + "."]))
    begin_s = time.process_time()
    try:
        read(path, format=name, **SAMPLES[name].options)
    finally:
        assert time.process_time() - begin_s < 1.0


def test_what_no_format_recognises_is_refused_with_the_choices(tmp_path: Path) -> None:
    path = tmp_path / "trace"
    path.write_text("hello world\n")
    with pytest.raises(TraceError, match=r"its first line is 'hello world'.*access_log, mooncake.*csv"):
        read(path)


class TestAzureFunctions:
    """Two files, and draws."""

    @staticmethod
    def write(folder: Path, pack: bool = False) -> None:
        levels = ",".join(f"percentile_Average_{level}" for level in (0, 1, 25, 50, 75, 99, 100))
        files = {
            "durations.csv": f"HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,{levels}\n"
            "o,a,f,0,0,0,0,10,20,30,40,50,60,70\no,a,bad,0,0,0,0,9,8,7,6,5,4,3\n",
            "invocations.csv": "HashOwner,HashApp,HashFunction,Trigger,1,2,3\n"
            "o,a,f,http,2,0,5000\no,a,g,timer,1,1,1\no,a,f,queue,1,0,-1\no,a,f,queue,1,x,1\n",
        }
        for name, text in files.items():
            data = gzip.compress(text.encode()) if pack else text.encode()
            (folder / (f"{name}.gz" if pack else name)).write_bytes(data)

    @pytest.mark.parametrize("pack", [False, True], ids=["plain", "gzip"])
    def test_counts_become_arrivals_and_percentiles_durations(self, tmp_path: Path, pack: bool) -> None:
        self.write(tmp_path, pack)
        found, report = read(tmp_path)
        assert (report.entries, report.ignored, report.malformed) == (5002, 3, 3)
        at_s = np.array([entry.at_s for entry in found])
        assert np.all(np.diff(at_s) >= 0)
        assert np.bincount((at_s // 60).astype(int)).tolist() == [0, 2, 0, 5000]
        took_ms = np.array([entry.duration_s for entry in found]) * 1e3
        assert np.quantile(took_ms, [0.25, 0.5, 0.75]) == pytest.approx([30, 40, 50], rel=0.05)
        assert 10 <= took_ms.min() <= took_ms.max() <= 70
        assert {(entry.request_class, entry.client, entry.target) for entry in found} == {("http", "o", "a/f")}

    def test_the_file_names_its_folder_too(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        assert same(read(tmp_path / "invocations.csv")[0], read(tmp_path)[0])

    def test_both_files_are_needed(self, tmp_path: Path) -> None:
        self.write(tmp_path)
        (tmp_path / "durations.csv").unlink()
        with pytest.raises(TraceError, match=r"no durations\.csv there"):
            read(tmp_path)


class TestParquet:
    """Columns with types of their own."""

    @staticmethod
    def write(path: Path, **columns: Any) -> None:
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table(columns), path)

    def test_numbers_and_texts(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.parquet"
        self.write(path, start=[1_500, 2_500], target=["/a", None], response_bytes=[7, None], duration=[0.5, None])
        found, report = read(path, columns={"at": "start"}, at_unit="ms")
        assert same(found, [entry(1.5, 0.5, size=(0, 7), target="/a"), entry(2.5)])
        assert report.format == "parquet"

    def test_a_column_of_times_knows_its_unit(self, tmp_path: Path) -> None:
        arrow = pytest.importorskip("pyarrow")
        path = tmp_path / "trace.parquet"
        at = arrow.array([1_700_158_546_680_590], arrow.timestamp("us"))
        self.write(path, at=at, duration=arrow.array([5], arrow.duration("ms")))
        assert same(read(path)[0], [entry(1700158546.68059, 0.005)])

    def test_impossible_rows_are_malformed(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.parquet"
        self.write(path, at=[1.0, None, -1.0, 2.0], duration=[1.0, 1.0, 1.0, -1.0])
        found, report = read(path)
        assert (len(found), report.malformed, report.lines) == (1, 3, 4)

    def test_text_for_a_number_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.parquet"
        self.write(path, at=["soon"])
        with pytest.raises(TraceError, match="soon"):
            read(path)

    def test_a_torn_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "trace.parquet"
        path.write_bytes(b"PAR1 and no more")
        with pytest.raises(TraceError, match="cannot be read as parquet"):
            read(path)

    def test_without_pyarrow_the_message_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "trace.parquet"
        path.write_bytes(b"PAR1")
        monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
        with pytest.raises(TraceError, match=r"pip install 'smartlb\[sim\]'"):
            read(path)

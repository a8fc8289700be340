import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from simulator.demo.traces import MOST_WORK, TraceError, read

LLM = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,26
2023-11-16 18:15:47.6805900,3000,600
2023-11-16 18:15:49.6805900,700,100
2023-11-16 18:15:49.9305900,1100,100
"""

CLF = """h1 - - [01/Aug/1995:06:00:00 +0000] "GET /a.gif HTTP/1.0" 200 1024
h2 - - [01/Aug/1995:06:00:00 +0000] "GET /b.html HTTP/1.0" 200 7168
not a log line at all
h1 - - [01/Aug/1995:06:00:04 +0000] "GET /cgi-bin/x?c.gif HTTP/1.0" 304 -
h3 - - [01/Aug/1995:06:00:09 +0000] "GET /d.JPG HTTP/1.0" 200 0
"""

RECORDED = Path(os.environ.get("SMARTLB_TRACES", "/nonexistent"))


def test_llm_work_follows_tokens_and_time_is_scaled(tmp_path: Path) -> None:
    path = tmp_path / "llm.csv"
    path.write_text(LLM)
    workload = read(path, seconds=1.0, rate=4.0, seed=1)
    # 3.25 s between the first and the last of four; one mean gap more makes 13/3 s, replayed in 1 s.
    assert workload.speedup == pytest.approx(13 / 3)
    assert workload.at_s * 13 / 3 == pytest.approx([0.0, 1.0, 3.0, 3.25])
    assert workload.work * 1500 == pytest.approx([400, 3600, 800, 1200])
    assert [workload.classes[at] for at in workload.request_class] == [
        "short",
        "long",
        "short",
        "short",
    ]


def test_only_the_beginning_is_read(tmp_path: Path) -> None:
    path = tmp_path / "llm.csv"
    path.write_text(LLM)
    workload = read(path, seconds=1.0, rate=2.0, seed=1)
    assert len(workload.at_s) == 2
    assert workload.speedup == pytest.approx(2.0)


def test_a_short_trace_is_repeated_at_the_same_rate(tmp_path: Path) -> None:
    path = tmp_path / "llm.csv"
    path.write_text(LLM)
    workload = read(path, seconds=2.0, rate=5.0, seed=1)
    assert len(workload.at_s) == 10
    assert "replayed 3 times" in workload.source
    assert np.all(np.diff(workload.at_s) > 0)
    assert workload.at_s[4] == pytest.approx(0.8)
    assert workload.request_class.tolist() == ([0, 1, 0, 0] * 3)[:10]


def test_access_logs_are_spread_over_their_ticks_by_the_seed(tmp_path: Path) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress(CLF.encode()))
    workload, again, other = (read(path, 4.0, 1.0, seed) for seed in (1, 1, 2))
    assert workload.at_s.tolist() == again.at_s.tolist()
    assert workload.at_s.tolist() != other.at_s.tolist()
    assert np.all(np.diff(workload.at_s) > 0)
    by_class = sorted(
        (workload.classes[at], round(float(work), 3))
        for at, work in zip(workload.request_class, workload.work * 1.0, strict=True)
    )
    # 1 + log2(1 + KiB): 2 and 1 for the images, 4 and 1 for the pages; mean 2.
    assert by_class == [("image", 0.5), ("image", 1.0), ("page", 0.5), ("page", 2.0)]


def test_the_tail_of_work_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "llm.csv"
    rows = [f"2023-11-16 18:15:{second:02},{1_000_000 if second == 30 else 10},1" for second in range(60)]
    path.write_text("\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows]))
    work = read(path, 6.0, 10.0, 1).work
    assert work.mean() == pytest.approx(1.0)
    assert work.max() / np.sort(work)[-2] == pytest.approx(MOST_WORK / (11 * 60 / 1_000_660), rel=1e-2)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"timestamp": 0}\n', "not a trace that the demo understands"),
        (b"", "not a trace that the demo understands"),
        (b"\x1f\x8bnot gzip after all", "cannot read the trace"),
        (LLM.splitlines()[0].encode(), "two or more"),
        ("\n".join(LLM.splitlines()[:2]).encode(), "two or more"),
    ],
)
def test_what_cannot_be_replayed_is_refused_with_a_reason(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "some.trace"
    path.write_bytes(content)
    with pytest.raises(TraceError, match=says) as caught:
        read(path, 1.0, 10.0, 1)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="No such file"):
        read(tmp_path / "none.csv", 1.0, 10.0, 1)


@pytest.mark.skipif(not RECORDED.is_dir(), reason="SMARTLB_TRACES names no folder with recorded traces")
@pytest.mark.parametrize("name", ["azure-llm-2023/AzureLLMInferenceTrace_conv.csv", "nasa-http-1995/access.log.gz"])
def test_recorded_traces_replay(name: str) -> None:
    path = RECORDED / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    workload = read(path, 10.0, 300.0, 1)
    assert len(workload.at_s) == 3000
    assert workload.at_s[-1] <= 10.0
    assert set(workload.request_class.tolist()) == {0, 1}

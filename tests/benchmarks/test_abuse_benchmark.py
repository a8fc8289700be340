"""The benchmark of abusive clients, briefly."""

import json
from pathlib import Path

import pytest

from benchmarks.abuse import main
from benchmarks.peers import nginx


def test_everyone_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "abuse.json"
    assert main(["--only", "header_bombs", "--rounds", "1", "--seconds", "1", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["proxy"] for row in rows] == (["smartlb", "nginx"] if nginx.PEER.find() else ["smartlb"])
    for row in rows:
        assert (row["errors"], row["quiet_errors"], row["unanswered"]) == (0, 0, 0)
        assert row["refused"] > 10
        assert 0 < row["workers_memory_peak_mb"] < row["memory_peak_mb"]
    assert "| header bombs | smartlb |" in capsys.readouterr().out

import json
from pathlib import Path

import pytest
import yaml

from smartlb.cli.commands import check, schema
from smartlb.config.load import load
from smartlb.config.schema import json_schema

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_check_summarises_a_valid_file(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(EXAMPLES / "minimal.yaml")
    assert check(path, 1_000_000) == 0
    output = capsys.readouterr()
    assert output.out == f"{path}: valid; 1 listener, 1 pool, 2 backends, 1 route; by learned\n"
    assert output.err == ""


def test_check_counts_in_the_plural(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = yaml.safe_load((EXAMPLES / "full.yaml").read_text())
    for part in (*data["listeners"], *data["pools"].values()):
        part.pop("tls", None)  # whose files are not here
    path = tmp_path / "full.yaml"
    path.write_text(yaml.safe_dump(data))
    assert check(str(path), 1_000_000) == 0
    config = load(path)
    backends = sum(len(pool.backends) for pool in config.pools.values())
    counts = f"8 listeners, {len(config.pools)} pools, {backends} backends, {len(config.routes)} routes"
    assert counts in capsys.readouterr().out


def test_check_says_everything_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("listeners: []\npools: {web: {backends: [x]}}\n")
    assert check(str(path), 1_000_000) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        f"{path}:1:12: listeners: expected at least 1 item; found an empty list\n"
        f"{path}:2:26: pools.web.backends[0]: "
        "expected HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080; found 'x'\n"
    )


def test_check_of_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(str(tmp_path / "none.yaml"), 1_000_000) == 2
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert schema() == 0
    assert json.loads(capsys.readouterr().out) == json_schema()


def test_check_warns_of_more_clients_than_open_files(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(EXAMPLES / "minimal.yaml")
    assert check(path, 4_096) == 0
    assert (
        "limits.connections: warning: the system allows a worker 4096 open files, of which it needs 20065: it admits "
        "2015 connections of clients instead of 10000;"
    ) in capsys.readouterr().err

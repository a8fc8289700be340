import json
from math import inf
from pathlib import Path

import pandas as pd
import pytest

from simulator.measures.figures import figures
from simulator.measures.frame import table
from simulator.report.files import document, write_html, write_json, write_parquet
from simulator.result import Trouble
from tests.simulator.measures.made import busy_run, made_figures

FIGURES = [
    figures(busy_run("learned", 1, troubles=[Trouble("slow a", 5.0, inf)])),
    figures(busy_run("random", 2)),
    made_figures("broken", p99_ms=None),
]


def test_json_has_every_figure_of_every_run(tmp_path: Path) -> None:
    write_json(tmp_path / "out.json", FIGURES)
    found = json.loads((tmp_path / "out.json").read_text())

    assert found == document(FIGURES)
    assert [(each["scenario"], each["policy"], each["seed"]) for each in found] == [
        ("hand", "learned", 1),
        ("hand", "random", 2),
        ("hand", "broken", 1),
    ]
    assert found[0]["p99_ms"] == FIGURES[0].p99_ms
    assert found[0]["recovery"][0]["ends_s"] is None


def test_parquet_is_the_table(tmp_path: Path) -> None:
    write_parquet(tmp_path / "out.parquet", FIGURES)

    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), table(FIGURES))


def test_html_is_utf8(tmp_path: Path) -> None:
    write_html(tmp_path / "out.html", "<p>±</p>")

    assert (tmp_path / "out.html").read_bytes() == "<p>±</p>".encode()


def test_a_file_takes_the_place_of_another_and_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "out.html").write_text("before")
    write_html(tmp_path / "out.html", "after")

    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out.html", "after")]


def test_what_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_html(tmp_path / "taken", "text")

    assert [path.name for path in tmp_path.iterdir()] == ["taken"]

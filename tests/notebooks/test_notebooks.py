"""The notebooks run as they are, small, and are stored with what they show."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESS = re.compile(r"at 0x[0-9a-f]{6}")

Notebook = dict[str, Any]

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def outputs(notebook: Notebook) -> Iterator[dict[str, Any]]:
    for cell in notebook["cells"]:
        yield from cell.get("outputs", ())


def shown(notebook: Notebook) -> str:
    """All text that the outputs hold."""
    texts = [
        json.dumps({kind: data for kind, data in output.get("data", {}).items() if not kind.startswith("image/")})
        + "".join(output.get("text", ()))
        for output in outputs(notebook)
    ]
    return "\n".join(texts)


def check(notebook: Notebook) -> None:
    """Outputs without errors, warnings, and what differs from machine to machine."""
    counts = [cell["execution_count"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run from the beginning: make notebooks"
    assert any("image/png" in output.get("data", {}) for output in outputs(notebook))
    assert {output["output_type"] for output in outputs(notebook)} <= {"stream", "execute_result", "display_data"}
    assert all(output.get("name") != "stderr" for output in outputs(notebook))
    text = shown(notebook)
    assert "Warning" not in text
    assert not ADDRESS.search(text)
    for folder in (ROOT, Path.home(), Path(sys.prefix)):
        assert folder == Path("/") or str(folder) not in text
    assert "/tmp/" not in text


def test_they_are_there() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["compare_policies", "explore_telemetry", "tune_policy"]


@every_notebook
def test_runs(path: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(ROOT / "notebooks/execute.py"),
        "--size",
        "small",
        "--output",
        str(tmp_path),
        str(path),
    ]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    check(json.loads((tmp_path / path.name).read_text()))


@every_notebook
def test_is_stored_with_what_it_shows(path: Path) -> None:
    notebook: Notebook = json.loads(path.read_text())
    check(notebook)
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert all(not cell["metadata"] for cell in notebook["cells"]), "make notebooks leaves out the times of execution"

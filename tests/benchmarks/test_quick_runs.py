"""Every benchmark that has no test of its own that runs it, once and briefly: it works, and says its goals."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.rig import wrk

ROOT = Path(__file__).parents[2]
LOAD = ["--rounds", "1", "--seconds", "1", "--no-instructions"]
CASES = ["--rounds", "2", "--no-instructions"]
WRK = pytest.mark.skipif(wrk.find() is None, reason="wrk is not installed")
H2LOAD = pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed")


def quick(command: str, goals: int, *marks: pytest.MarkDecorator) -> object:
    """A benchmark's command line, and how many goals it then has."""
    return pytest.param(command.split(), goals, id=command.split()[0], marks=marks)


@pytest.mark.parametrize(
    ("command", "goals"),
    [
        quick("proxy --shape paced --only smartlb --rounds 1 --seconds 1", 2),
        quick("tcp " + " ".join(LOAD), 1, WRK),
        quick("tls " + " ".join(LOAD), 1, WRK),
        quick("http2 " + " ".join(LOAD), 3, H2LOAD),
        quick("idle --workers 1 --connections 100 --seconds 1", 2),
        quick("overload " + " ".join(CASES), 4),
        quick("stages " + " ".join(CASES), 4),
        quick("routing " + " ".join(CASES), 4),
        quick("simulator --rounds 1 --policies round_robin --requests 2000 --trace-requests 2000", 0),
        quick("reality --rounds 1 --seconds 4 --policies round_robin", 1),
        quick("live --rounds 1 --seconds 4 --policies learned", 6),
        quick("chaos --seconds 10 --rate 80", 3),
        quick("soak --seconds 5 --rate 80", 6),
    ],
)
def test_it_runs_and_says_its_goals(command: list[str], goals: int, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    module, *arguments = command
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *arguments, "--json", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(out.read_text())
    assert found["rows"]
    assert len(found["goals"]) == goals
    for goal in found["goals"]:
        assert goal.keys() == {"name", "value", "goal", "reached"}
        assert f"{goal['name'].rpartition(', ')[0]}: " in done.stdout

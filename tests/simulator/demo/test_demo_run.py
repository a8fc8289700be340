"""The whole demo, short: real servers, the real router, real load."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from simulator.demo.run import main
from simulator.demo.settings import Settings


def test_a_short_demo_compares_two_policies_and_writes_its_results(tmp_path: Path) -> None:
    settings = Settings(
        policies=("learned", "round_robin"),
        seconds=2.0,
        warmup_s=0.5,
        rate=60.0,
        load=0.3,
        output=tmp_path / "out",
        plain=True,
    )
    console = Console(width=100)
    with console.capture() as capture:
        assert main(settings, console) == 0
    text = capture.get()
    assert "of the same" in text
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    learned, round_robin = results["policies"]
    assert (learned["policy"], round_robin["policy"]) == ("learned", "round_robin")
    assert learned["requests"] == round_robin["requests"] > 60
    for row in (learned, round_robin):
        assert row["p99_ms"] > 0
        assert row["failed"] < 0.2
        assert row["timeouts"] == 0
    for policy in settings.policies:
        assert (tmp_path / "out" / f"{policy}.yaml").exists()
        assert (tmp_path / "out" / f"{policy}.log").exists()


def _descendants(pid: int) -> set[int]:
    found: set[int] = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == pid:
            found |= {int(status.parent.name)} | _descendants(int(status.parent.name))
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the demo's processes through /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process_behind(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "smartlb", "demo", "--plain", "--rate", "20", "--output", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as demo:
        try:
            deadline = time.monotonic() + 30
            started: set[int] = set()
            # The fleet, the router with its worker and learner, the load generator.
            while len(started) < 12 and time.monotonic() < deadline:
                time.sleep(0.1)
                started = _descendants(demo.pid)
            assert len(started) >= 12
            demo.send_signal(number)
            output, _ = demo.communicate(timeout=20)
        finally:
            demo.kill()
    assert demo.returncode == 130
    assert "nothing was left running" in output
    deadline = time.monotonic() + 5
    while (left := [pid for pid in started if _alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not left

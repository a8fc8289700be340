from typing import Any

from rich.console import Console

from simulator.demo.fleet import FLEET
from simulator.demo.scenario import faults
from simulator.demo.view import Scene, line, screen


def _status(name: str, **changes: Any) -> dict[str, Any]:
    window = {"requests": 200, "failures": 3, "share": 0.25, "p50_ms": 41.7, "p99_ms": None}
    row = {
        "name": name,
        "health": "healthy",
        "ejected": False,
        "drained": False,
        "in_flight": 3,
        "window": window,
    }
    return {**row, "weight": {"page": 0.125, "analytics": 0.0}, **changes}


def _scene() -> Scene:
    return Scene(fleet=FLEET, classes=("page", "analytics"), source="a test", policies=("learned", "round_robin"))


def _drawn(scene: Scene) -> str:
    console = Console(width=140, force_terminal=False)
    with console.capture() as capture:
        console.print(screen(scene))
    return capture.get()


def _row(text: str, backend: str) -> str:
    return next(row for row in text.splitlines() if row.startswith(f"{backend} "))


def test_before_there_is_a_status_the_fleet_is_starting() -> None:
    assert "starting" in _row(_drawn(_scene()), "b1")


def test_each_backend_shows_its_figures_and_state() -> None:
    scene = _scene()
    scene.policy, scene.phase = "learned", "measuring"
    scene.pool = {"backends": [_status("b1"), _status("b2", ejected=True), _status("b3", health="unhealthy")]}
    text = _drawn(scene)
    for figure in ("0.12", "25%", "42", "2%", "healthy"):
        assert figure in _row(text, "b1")
    assert "ejected" in _row(text, "b2")
    assert "unhealthy" in _row(text, "b3")
    assert "all servers well" in text


def test_a_policy_without_weights_shows_none() -> None:
    scene = _scene()
    scene.pool = {"backends": [_status("b1", weight={})]}
    assert "0.12" not in _row(_drawn(scene), "b1")


def test_the_fault_is_named() -> None:
    scene = _scene()
    scene.fault = faults(10.0)[0]
    assert "b4 is 4 times slower" in _drawn(scene)
    assert "b4 is 4 times slower" in line(scene)


def test_a_line_says_where_the_run_stands() -> None:
    scene = _scene()
    scene.policy, scene.phase, scene.left_s = "round_robin", "measuring", 7.4
    scene.progress = {"sent": 12, "done": 11, "failed": 1, "p50_ms": 8.25, "p99_ms": 1234.0}
    assert line(scene) == "[2/2] round_robin: measuring, 7 s left; 11 answered, 1 failed, p50 8.2, p99 1,234 ms"

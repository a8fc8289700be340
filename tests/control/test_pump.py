"""What the supervisor does all the time goes on when a part of it fails."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartlb.admin.state import ProcessStatus
from smartlb.config.model import Backend, Config
from smartlb.config.numbering import Member
from smartlb.control.generation import Generation
from smartlb.control.sockets import close_all
from smartlb.core.outcome import Outcome
from smartlb.core.record import RECORD, Records
from smartlb.supervisor import upgrade
from smartlb.supervisor.running import Running
from smartlb.supervisor.supervisor import Supervisor
from tests.eventually import eventually
from tests.served import configuration


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """A router whose processes are not started."""
    pool = {"ejection": {"consecutive_failures": 2, "max_ejected_share": 0.5}, "health_check": {}}
    config = Config.model_validate(configuration(["127.0.0.1:1", "127.0.0.1:2"], pool, workers=2))
    running = Supervisor(config, tmp_path / "smartlb.yaml")._running
    yield running
    running.pump.let_go(running.generations.present)
    running.admin.socket.close()
    close_all(running.listening)


def failing(*_arguments: Any, **_rest: Any) -> Any:
    raise ZeroDivisionError("that nobody foresaw")


def report(running: Running, monkeypatch: pytest.MonkeyPatch, **fields: int) -> None:
    """Let workers have recorded two requests, once."""
    records: Records = np.zeros(2, dtype=RECORD)
    for name, value in fields.items():
        records[name] = value
    batches = [records]
    monkeypatch.setattr(
        running.generations.present, "records", lambda: batches.pop() if batches else np.zeros(0, dtype=RECORD)
    )


def test_counting_that_fails_stops_no_ejection(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    report(running, monkeypatch, outcome=Outcome.RESET)
    monkeypatch.setattr(running.state.traffic, "add", failing)
    running.pump.turn()
    assert running.state.ejector.ejected(0)
    assert not running.state.eligibility.eligible(0)
    assert running.state.errors == {"counting requests": 1}


def test_ejection_that_fails_stops_no_counting(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    report(running, monkeypatch, outcome=Outcome.RESET)
    monkeypatch.setattr(running.state.ejector, "observe", failing)
    monkeypatch.setattr(running.state.ejector, "release", failing)
    running.pump.turn()
    assert running.state.traffic.outcomes[Outcome.RESET] == 2
    assert running.state.errors == {"ejection": 1, "the end of ejections": 1}


@pytest.mark.parametrize("outcome", [len(Outcome), 255])
def test_an_outcome_that_there_is_not_ends_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch, outcome: int
) -> None:
    report(running, monkeypatch, outcome=outcome)
    running.pump.turn()
    assert running.state.traffic.invalid == 2
    assert not running.state.ejector.ejected(0), "of which its backend is not guilty"
    assert running.state.errors == {}


@pytest.mark.parametrize(
    ("part", "duty"),
    [
        (lambda generation: (generation, "records"), "telemetry"),
        (lambda generation: (generation, "rest"), "discovery"),
        (lambda generation: (generation.backends.ejector, "release"), "the end of ejections"),
        (lambda generation: (generation.workers[0], "give_up"), "looking after a worker"),
    ],
    ids=["telemetry", "discovery", "ejection", "processes"],
)
async def test_the_pump_goes_on(
    running: Running,
    monkeypatch: pytest.MonkeyPatch,
    part: Callable[[Generation], tuple[object, str]],
    duty: str,
) -> None:
    generation = running.generations.present
    monkeypatch.setattr(*part(generation), failing)
    hung, lives = generation.workers
    hung.pid, lives.pid = 1 << 30, 1 << 30  # which no process has
    lives.since_s = 1e12
    pumping = asyncio.create_task(running.pump.run())
    await eventually(lambda: running.state.errors.get(duty, 0) >= 2 or pumping.done(), 20)
    assert not pumping.done()
    assert running.state.workers[1].pid == lives.pid, "the processes behind it are looked after"
    pumping.cancel()
    await asyncio.wait([pumping])
    hung.pid = lives.pid = None


def test_one_generation_that_fails_keeps_nothing_from_the_others(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = running.generations.present
    other = Generation(present.config, running.listening)
    running.generations.starting.append(other)
    told: list[Generation] = []

    def find(_found: Any) -> list[Member]:
        told.append(other)
        return []

    monkeypatch.setattr(present, "find", failing)
    monkeypatch.setattr(other, "find", find)
    running.pump.take_found({"web": [Backend(address="127.0.0.1:3")]})
    assert told == [other]
    assert running.state.errors == {"discovery": 1}
    running.generations.starting.remove(other)
    other.close()


async def test_health_checks_that_end_begin_again(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    generation = running.generations.present
    monkeypatch.setattr("smartlb.control.generation._CHECKED_AGAIN_AFTER_S", 0.0)
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs < 3:
            failing()

    monkeypatch.setattr(generation.backends.health, "run", run)
    generation.present()
    await asyncio.wait_for(generation._check_backends(), 20)
    assert runs == 3
    assert running.state.errors == {"health checks": 2}


async def test_an_upgrade_that_fails_changes_nothing(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upgrade, "_successor", failing)
    await upgrade.upgrade(running)
    assert not running.stop.is_set()
    assert (running.superseded, running.state.handing_over) == (False, False)
    assert "internal error in an upgrade, this process goes on" in caplog.text


def test_reports_are_made_by_name() -> None:
    with pytest.raises(TypeError):
        ProcessStatus(1, True)  # type: ignore[call-arg]

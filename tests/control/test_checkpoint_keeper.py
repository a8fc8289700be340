"""The learner's memory on disk: written whole, read back, and never in the way."""

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from smartlb.config.model import Checkpoint as Settings
from smartlb.control.checkpoint_file import read, write
from smartlb.control.checkpoint_keeper import CheckpointKeeper
from smartlb.learning.checkpoint import Checkpoint, CheckpointError, Names
from smartlb.learning.learner import Learner, LearnerSettings
from tests.learning.telemetry import NOTHING, some_records
from tests.served import configuration, serving

NAMES = Names(["default"], {"web": ["a", "b"]})


class Clocks:
    """Both clocks, moved by hand."""

    now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s

    def unix(self) -> float:
        return self.now_s + 1e9


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


def taught() -> Learner:
    model = Learner([range(2)], 1, LearnerSettings())
    for tick in range(20):
        batch = [some_records(10, backend=at, latency_s=(0.02, 0.08)[at]) for at in range(2)]
        model.update(np.concatenate(batch), 0.2 * tick)
    return model


def keeper(path: Path, clocks: Clocks, **settings: Any) -> CheckpointKeeper:
    return CheckpointKeeper(Settings(path=str(path), **settings), NAMES, clocks.monotonic, clocks.unix)


def restored(of: CheckpointKeeper) -> bool:
    """Whether a new learner knows more than nothing after `restore`."""
    model = Learner([range(2)], 1, LearnerSettings())
    of.restore(model)
    weight = model.update(NOTHING, 0.0).weight
    return bool(weight[0, 0] > 1.1 * weight[0, 1])


def test_written_and_read(tmp_path: Path) -> None:
    path, one = tmp_path / "c.json", taught().memory(NAMES, 5.0)
    path.write_text("what was there before")
    write(path, one)
    assert read(path) == one
    assert [each.name for each in tmp_path.iterdir()] == ["c.json"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, one = tmp_path / "c.json", taught().memory(NAMES)
    write(path, one)

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, one.model_copy(update={"river": "other"}))
    assert read(path) == one
    assert len(list(tmp_path.iterdir())) == 1


def test_errors_of_reading_name_the_file(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be read") as refused:
            read(path)
        assert str(refused.value).startswith(f"{path}: ")
    (tmp_path / "junk").write_bytes(b"\x80")
    with pytest.raises(CheckpointError, match="junk: expected JSON"):
        read(tmp_path / "junk")


def test_saved_at_intervals_and_at_the_end(tmp_path: Path, clocks: Clocks) -> None:
    path, model = tmp_path / "c.json", taught()
    of = keeper(path, clocks, interval_s=30.0)
    of.save_when_due(model)
    assert not path.exists()
    clocks.now_s += 30.0
    of.save_when_due(model)
    of.save_at_the_end(model)
    assert read(path).saved_unix_s == clocks.unix()
    assert restored(keeper(path, clocks))


def test_a_learner_that_has_seen_nothing_overwrites_nothing(tmp_path: Path, clocks: Clocks) -> None:
    path = tmp_path / "c.json"
    keeper(path, clocks).save_at_the_end(taught())
    before = path.read_bytes()
    keeper(path, clocks).save_at_the_end(Learner([range(2)], 1, LearnerSettings()))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.unlink(), "is not there yet: the learner starts cold"),
        (lambda path: path.write_text("{"), "c.json: expected JSON"),
        (lambda path: path.write_text(path.read_text().replace("0.0", "0.1", 1)), "c.json: sha256: expected"),
    ],
)
def test_what_cannot_be_used_is_said_and_the_start_is_cold(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture, spoil: Any, said: str
) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "c.json"
    keeper(path, clocks).save_at_the_end(taught())
    spoil(path)
    assert not restored(keeper(path, clocks))
    assert said in caplog.text
    assert "starts cold" in caplog.text


def test_old_ones_are_not_used_but_trained_ones_have_no_age(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "c.json"
    keeper(path, clocks).save_at_the_end(taught())
    clocks.now_s += 61.0
    assert not restored(keeper(path, clocks, max_age_s=60.0))
    assert "is 61 s old, more than learner.checkpoint.max_age_s (60)" in caplog.text
    write(path, taught().memory(NAMES))
    assert restored(keeper(path, clocks, max_age_s=60.0))


def test_failures_to_write_are_logged_once_a_minute(
    tmp_path: Path, clocks: Clocks, caplog: pytest.LogCaptureFixture
) -> None:
    of, model = keeper(tmp_path / "missing" / "c.json", clocks, interval_s=1.0), taught()
    for _ in range(50):
        clocks.now_s += 1.0
        of.save_when_due(model)
        of.save_at_the_end(model)
    assert caplog.text.count("cannot be written") == 1
    clocks.now_s += 60.0
    of.save_at_the_end(model)
    assert caplog.text.count("cannot be written") == 2


def test_without_settings_nothing_is_kept(clocks: Clocks) -> None:
    of, model = CheckpointKeeper(None, NAMES, clocks.monotonic, clocks.unix), taught()
    of.restore(model)
    of.save_when_due(model)
    of.save_at_the_end(model)


async def test_a_router_goes_on_where_it_ended(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(0.03 if request.host.endswith(slow_port) else 0.001)
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    path = tmp_path / "learner.json"
    async with TestServer(app, host="127.0.0.1") as quick, TestServer(app, host="127.0.0.1") as slow:
        slow_port = str(slow.port)
        backends = [
            {"name": name, "address": f"127.0.0.1:{server.port}"} for name, server in (("quick", quick), ("slow", slow))
        ]
        config = configuration(backends, workers=1, learner={"checkpoint": {"path": str(path)}})
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:

            async def ask() -> None:
                async with session.get(router.url) as response:
                    await response.read()

            def learned(status: Any) -> bool:
                return bool(status["learner"]["alive"])

            await router.status_when(learned)
            for _ in range(15):
                await asyncio.gather(*(ask() for _ in range(20)))
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            assert await router.stopped() == 0
        kept: Checkpoint = read(path)
        assert list(kept.pools["web"].backends) == ["quick", "slow"]
        assert json.loads(path.read_text())["schema"] == 1
        (tmp_path / "again").mkdir()
        async with serving(config, tmp_path / "again") as router:
            await router.status_when(lambda status: "2 backends are known" in router.log and status["learner"]["alive"])

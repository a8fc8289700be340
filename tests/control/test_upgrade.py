"""Sockets from a service manager, and a new process that takes over from a running one."""

import asyncio
import grp
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from smartlb.control.sockets import Place, adopt, close_all, given_name, name_of
from smartlb.supervisor.privileges import CannotDrop, drop
from tests.eventually import eventually
from tests.served import Served, configuration, serving, spawn


@asynccontextmanager
async def backend() -> AsyncIterator[str]:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield f"127.0.0.1:{server.port}"


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def get(url: str) -> int:
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(url) as response:
        await response.read()
        return response.status


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The service manager's end of sd_notify."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiving:
        receiving.bind(path)
        receiving.setblocking(False)
        yield receiving


def told(manager: socket.socket) -> list[str]:
    """The first words of what the service manager was told since the last call."""
    messages = []
    while True:
        try:
            messages.append(manager.recv(4096).decode().splitlines()[0])
        except BlockingIOError:
            return messages


async def test_the_service_manager_is_told(tmp_path: Path, manager: socket.socket) -> None:
    async with backend() as address:
        config = configuration([address], {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            assert told(manager) == ["READY=1"]
            await router.reload(config)
            router.file.write_text("")
            assert (await router.post("/reload"))[0] == 422
            assert told(manager) == ["RELOADING=1", "READY=1"] * 2
            assert await router.stopped() == 0
            assert told(manager) == ["STOPPING=1"]


async def test_sockets_from_a_service_manager(tmp_path: Path) -> None:
    """One socket for three workers, bound by somebody else, and one that nobody wants."""
    async with backend() as address:
        with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_server(("127.0.0.1", 0)) as unwanted:
            bound, stranger = name_of(listening), name_of(unwanted)
            config = configuration([address], {"policy": "round_robin"}, workers=3, listeners=[{"bind": bound}])
            file, ready_file, log = tmp_path / "smartlb.yaml", tmp_path / "ready.json", tmp_path / "log"
            file.write_text(json.dumps(config))
            # As a service manager does it: the descriptors at 3 and 4, and the process's own id in the environment.
            program = (
                "import os, sys;"
                "a, b = (os.dup(int(fd)) for fd in sys.argv[1:3]);"
                "os.dup2(os.dup(a), 3); os.dup2(os.dup(b), 4);"
                "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='2');"
                "os.execv(sys.executable, [sys.executable, *sys.argv[3:]])"
            )
            fds = [listening.fileno(), unwanted.fileno()]
            command = ["-m", "smartlb", "serve", file, "--ready-file", ready_file, "--for-s", "60"]
            with log.open("ab") as out:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", program, *map(str, [*fds, *command]), stdout=out, stderr=out, pass_fds=fds
                )
        try:
            await eventually(lambda: ready_file.exists() or process.returncode is not None, within_s=30)
            assert process.returncode is None, log.read_text()
            assert json.loads(ready_file.read_text())["listeners"] == [bound]
            assert f"inherited and not used: {stranger}, where no listener is configured" in log.read_text()
            router = Served(process, json.loads(ready_file.read_text()), log, file)
            for _ in range(2):
                assert [await get(router.url) for _ in range(10)] == [200] * 10
                await router.reload({**config, "workers": 2})
        finally:
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 20) == 0


async def test_a_new_process_takes_over(tmp_path: Path, manager: socket.socket) -> None:
    async with backend() as address:
        ready_file = tmp_path / "ready.json"
        config = configuration([address, "127.0.0.1:1"], learner={"interval_s": 0.05})
        async with serving(config, tmp_path) as router:
            listener, old = router.listener, router.process.pid
            await router.post("/backends/web/127.0.0.1:1/drain")
            reader, writer = await router.connect()
            statuses: list[int] = []
            over = asyncio.Event()

            async def ask() -> None:
                while not over.is_set():
                    statuses.append(await get(router.url))

            asking = asyncio.gather(*(ask() for _ in range(4)))
            await router.status_when(lambda s: s["learner"]["samples"])
            router.process.send_signal(signal.SIGUSR2)
            await eventually(lambda: json.loads(ready_file.read_text())["pid"] != old, within_s=40)
            new = json.loads(ready_file.read_text())
            try:
                assert new["listeners"] == [listener]
                assert new["admin"] == router.admin
                # A connection of the old process's is served once more.
                await eventually(lambda: ", this one drains" in router.log)
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
                writer.close()
                assert await asyncio.wait_for(router.process.wait(), 20) == 0
                count = len(statuses)
                await eventually(lambda: len(statuses) > count + 20)
                over.set()
                await asking
                assert set(statuses) == {200}
                status = await router.status()
                assert status["generation"] == 1
                assert [each["drained"] for each in status["pools"]["web"]["backends"]] == [False, True]
                assert "backends are known from the learner before" in router.log
                assert "Traceback" not in router.log
                messages = told(manager)
                assert f"MAINPID={new['pid']}" in messages
                assert "STOPPING=1" not in messages
                # And the new process can do the same again.
                os.kill(new["pid"], signal.SIGUSR2)
                await eventually(lambda: json.loads(ready_file.read_text())["pid"] != new["pid"], within_s=40)
                before, new = new["pid"], json.loads(ready_file.read_text())
                await eventually(lambda: not alive(before), within_s=20)
                assert await get(router.url) == 200
            finally:
                over.set()
                os.kill(new["pid"], signal.SIGTERM)
                await eventually(lambda: not alive(new["pid"]), within_s=20)


async def test_a_new_process_that_cannot_start_changes_nothing(tmp_path: Path) -> None:
    async with backend() as address:
        config = configuration([address], {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            router.file.write_text("nothing of use")
            router.process.send_signal(signal.SIGUSR2)
            await eventually(lambda: "upgrade failed, this process goes on" in router.log, within_s=30)
            assert "ended with exit status 2" in router.log
            assert await get(router.url) == 200
            await router.reload(config)
            assert await get(router.url) == 200


def test_sockets_are_known_by_address_or_by_name() -> None:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    names = [name_of(each) for each in made]
    reading, writing = os.pipe()
    inherited = [
        ("web", made[0].detach()),
        (given_name("127.0.0.1:0"), made[1].detach()),
        ("", made[2].detach()),
        ("pipe", reading),
    ]
    found, strangers = adopt(inherited, [Place("127.0.0.1:0"), Place(names[0]), Place("127.0.0.1:1")])
    assert [(each.place.bind, each.name) for each in found] == [("127.0.0.1:0", names[1]), (names[0], names[0])]
    assert [stranger.partition(",")[0] for stranger in strangers] == [f"descriptor {reading} (pipe)", names[2]]
    close_all(found)
    os.close(writing)


def test_an_unknown_user_or_group() -> None:
    me = pwd.getpwuid(os.geteuid()).pw_name
    drop(None, None)
    drop(me, None)
    with pytest.raises(CannotDrop, match="there is no user 'nobody-like-this' on this machine"):
        drop("nobody-like-this", None)
    with pytest.raises(CannotDrop, match="there is no group 'no-such-group' on this machine"):
        drop(me, "no-such-group")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("group", [None, "daemon"])
def test_root_becomes_another_user_for_good(group: str | None) -> None:
    program = f"""
import os, sys
from smartlb.supervisor.privileges import CannotDrop, drop
sys.executable = "/bin/sh"  # which everybody may run
drop("nobody", {group!r})
print(*os.getresuid(), *os.getresgid(), *os.getgroups())
try:
    os.setuid(0)
except PermissionError:
    print("for good")
try:
    drop("root", None)
except CannotDrop as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    nobody = pwd.getpwnam("nobody")
    ids, good, refusal = done.stdout.splitlines()
    gid = nobody.pw_gid if group is None else grp.getgrnam(group).gr_gid
    assert ids.split() == [str(nobody.pw_uid)] * 3 + [str(gid)] * 4
    assert good == "for good"
    assert refusal.startswith("user: only root can become 'root'")


async def test_a_user_that_does_not_exist(tmp_path: Path) -> None:
    file, log = tmp_path / "smartlb.yaml", tmp_path / "log"
    file.write_text(json.dumps(configuration(["127.0.0.1:1"], user="nobody-like-this")))
    process = await spawn("serve", file, "--for-s", "60", log=log)
    assert await asyncio.wait_for(process.wait(), 20) == 1
    assert "there is no user 'nobody-like-this'" in log.read_text()
    assert "Traceback" not in log.read_text()


async def _successor(router: Served, directory: Path) -> int:
    """Have the router upgraded to the end; returns the id of the new process."""
    assert await asyncio.wait_for(router.process.wait(), 20) == 0
    return int(json.loads((directory / "ready.json").read_text())["pid"])


async def test_nothing_is_changed_that_the_new_process_would_not_know(tmp_path: Path) -> None:
    async with backend() as one, backend() as two:
        config = configuration(
            [{"name": "a", "address": one}], {"policy": "round_robin", "discovery": {"api": {}}}, workers=1
        )
        async with serving(config, tmp_path) as router, aiohttp.ClientSession() as session:
            router.process.send_signal(signal.SIGUSR2)
            await eventually(lambda: "upgrade: starting" in router.log)
            assert (await router.post("/backends/web/a/drain"))[0] == 503
            async with session.post(f"http://{router.admin}/backends/web", json={"address": two}) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert "upgrade is under way" in (await answer.json())["error"]
            pid = await _successor(router, tmp_path)
            try:
                assert (await router.post("/backends/web/a/drain"))[0] == 200, "the new one takes it"
            finally:
                os.kill(pid, signal.SIGTERM)


async def test_another_signal_in_an_upgrade_is_none_too_many(tmp_path: Path) -> None:
    async with backend() as one:
        config = configuration([one], {"policy": "round_robin"}, workers=1)
        async with serving(config, tmp_path) as router:
            router.process.send_signal(signal.SIGUSR2)
            await eventually(lambda: "upgrade: starting" in router.log)
            router.process.send_signal(signal.SIGUSR2)
            os.kill(await _successor(router, tmp_path), signal.SIGTERM)
            assert "upgrade failed" not in router.log

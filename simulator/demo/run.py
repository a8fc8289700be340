"""The demo from start to end: fleet, router and load for each policy in turn, then the report."""

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import aiohttp
import numpy as np
from rich.console import Console
from rich.live import Live

from simulator.demo import chart, fleet, report, router, scenario, traces, workload
from simulator.demo.fleet import FLEET, Server
from simulator.demo.load import Array
from simulator.demo.processes import Child, DemoError, child
from simulator.demo.settings import Settings
from simulator.demo.summary import summarise
from simulator.demo.view import Scene, line, screen
from simulator.demo.workload import Workload

_REDRAW_S = 0.25
_LINE_S = 3.0
_POLL_S = 0.5
_SPARE_S = 60.0

Start = Callable[[Mapping[str, Server], IO[bytes], float], AbstractAsyncContextManager[str]]
"""``start(servers, log, longest_s)`` runs what routes to the servers, `longest_s` at most, and gives its address."""


def main(settings: Settings, console: Console) -> int:
    """Run the demo; the exit status is 0, 1 if it could not finish, 2 for a bad trace, 130 if interrupted."""
    try:
        return asyncio.run(_main(settings, console))
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("\nstopped; nothing was left running")
        return 130
    except traces.TraceError as error:
        print(f"smartlb demo: {error}", file=sys.stderr)
        return 2
    except DemoError as error:
        print(f"smartlb demo: {error}\nlogs: {settings.output}/*.log", file=sys.stderr)
        return 1


async def _main(settings: Settings, console: Console) -> int:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    if settings.trace:
        load = traces.read(settings.trace, settings.total_s, settings.rate, settings.seed)
    else:
        load = workload.generated(settings.total_s, settings.rate, settings.seed)
    _make_folder(settings.output)
    arrivals = load.arrivals(FLEET, settings.load, settings.total_s)
    console.print(*_preamble(settings, load, arrivals), sep="\n", highlight=False, markup=False)
    scene = Scene(fleet=FLEET, classes=load.classes, source=load.source, policies=settings.policies)
    results: dict[str, Array] = {}
    with tempfile.TemporaryDirectory(prefix="smartlb-demo-") as folder:
        async with _background(_show(scene, console, settings.plain)):
            for policy in settings.policies:
                results[policy] = await PolicyRun(settings, load, scene, Path(folder)).under(policy, arrivals)
                scene.finished.append(summarise(policy, results[policy], scenario.faults(settings.seconds)))
    _report(settings, load, arrivals, results, scene, console)
    return 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"cannot make the folder {folder} for the results: {error.strerror}") from None


def _preamble(settings: Settings, load: Workload, arrivals: Array) -> list[str]:
    names = ", ".join(settings.policies)
    warmup_s, seconds = settings.warmup_s, settings.seconds
    lines = [
        f"The same {len(arrivals):,} requests for each policy, one after the other: {names}.",
        f"Requests: {load.source}; seed {settings.seed}.",
        f"Rate: {settings.rate:g}/s; {warmup_s:g} s to warm up, then {seconds:g} s that count.",
        f"Load: {settings.load:.0%} of what the fleet could carry if every request were placed perfectly.",
    ]
    if load.speedup is not None:
        times = f"{load.speedup:,.{0 if load.speedup >= 100 else 1}f}"
        lines.append(f"Time: the trace is replayed {times} times as fast as it was recorded.")
    return lines


class PolicyRun:
    """One run of the fleet behind a router, in processes that are started for it."""

    def __init__(self, settings: Settings, load: Workload, scene: Scene, folder: Path) -> None:
        self._settings = settings
        self._load = load
        self._scene = scene
        self._folder = folder
        self._faults = scenario.faults(settings.seconds)

    async def under(self, policy: str, arrivals: Array, weighted: bool = False) -> Array:
        """The results that count behind smartlb with a policy; their times count from the end of the warm-up."""
        return await self.behind(policy, partial(self._smartlb, policy, weighted), arrivals)

    async def behind(self, name: str, start: Start, arrivals: Array) -> Array:
        """The results that count behind what `start` starts, which the scene and the log call `name`."""
        settings, scene = self._settings, self._scene
        scene.policy, scene.phase, scene.left_s = name, "starting", settings.total_s
        scene.pool, scene.progress, scene.fault = None, {}, None
        np.save(self._folder / "arrivals.npy", arrivals)
        async with AsyncExitStack() as stack:
            log = stack.enter_context((settings.output / f"{name}.log").open("wb"))
            lifetime_s = settings.total_s + settings.timeout_s + _SPARE_S
            servers = await stack.enter_async_context(
                fleet.running(FLEET, self._load.affine, settings.seed, lifetime_s, log)
            )
            address = await stack.enter_async_context(start(servers, log, settings.total_s + _SPARE_S))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            generator = await stack.enter_async_context(child(self._generator(address), log))
            started_s = float((await generator.report())["started_s"])
            async with _background(self._inject(session, servers, started_s + settings.warmup_s)):
                await self._follow(generator)
        results: Array = np.load(self._folder / "results.npy")
        counted = results[results["at_s"] >= settings.warmup_s]
        counted["at_s"] -= settings.warmup_s
        return counted

    @asynccontextmanager
    async def _smartlb(
        self, policy: str, weighted: bool, servers: Mapping[str, Server], log: IO[bytes], longest_s: float
    ) -> AsyncIterator[str]:
        config = self._settings.output / f"{policy}.yaml"
        config.write_text(router.configuration(policy, servers.values(), self._load.classes, weighted))
        async with (
            router.running(config, self._folder / f"{policy}.ready", log, longest_s) as smartlb,
            aiohttp.ClientSession() as session,
            _background(self._poll(session, smartlb.admin)),
        ):
            yield smartlb.listener
            if smartlb.process.returncode is not None:
                raise DemoError(f"the router ended during the run with status {smartlb.process.returncode}")

    def _generator(self, target: str) -> list[str]:
        return [
            *(sys.executable, "-m", "simulator.demo.load"),
            *(str(self._folder / "arrivals.npy"), str(self._folder / "results.npy")),
            *("--target", target, "--classes", ",".join(self._load.classes)),
            *("--backends", ",".join(server.name for server in FLEET)),
            *("--timeout", str(self._settings.timeout_s), "--connections", str(self._settings.connections)),
        ]

    async def _follow(self, generator: Child) -> None:
        while not (report := await generator.report()).get("saved"):
            scene, settings = self._scene, self._settings
            elapsed_s = report["elapsed_s"]
            scene.progress = report
            scene.left_s = max(0.0, settings.total_s - elapsed_s)
            scene.fault = scenario.active(self._faults, elapsed_s - settings.warmup_s)
            if elapsed_s < settings.warmup_s:
                scene.phase = "warming up, not counted"
            else:
                scene.phase = "measuring" if scene.left_s else "waiting for the last answers"

    async def _poll(self, session: aiohttp.ClientSession, admin: str) -> None:
        while True:
            # A status that does not come is no reason to stop: the run's figures do not depend on it.
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"http://{admin}/status", timeout=aiohttp.ClientTimeout(2)) as response:
                    self._scene.pool = (await response.json())["pools"][router.POOL]
            await asyncio.sleep(_POLL_S)

    async def _inject(
        self, session: aiohttp.ClientSession, servers: Mapping[str, Server], counted_from_s: float
    ) -> None:
        for fault in self._faults:
            server = servers[fault.server]
            await _sleep_until(counted_from_s + fault.starts_s)
            await scenario.inject(session, server, slow=fault.slow, fail=fault.fail)
            await _sleep_until(counted_from_s + fault.ends_s)
            await scenario.inject(session, server)


async def _sleep_until(when_s: float) -> None:
    await asyncio.sleep(max(0.0, when_s - time.monotonic()))


@asynccontextmanager
async def _background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do `work` beside the block and stop it with the block; its errors come out at the end."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _show(scene: Scene, console: Console, plain: bool) -> None:
    if plain:
        while True:
            await asyncio.sleep(_LINE_S)
            console.print(line(scene), highlight=False, markup=False, soft_wrap=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(screen(scene), refresh=True)
            await asyncio.sleep(_REDRAW_S)


def _report(
    settings: Settings,
    load: Workload,
    arrivals: Array,
    results: Mapping[str, Array],
    scene: Scene,
    console: Console,
) -> None:
    faults = scenario.faults(settings.seconds)
    console.print(report.table(scene.finished), *report.notes(scene.finished, settings), sep="\n", highlight=False)
    mean_work_ms = float(arrivals["work_ms"].mean())
    figures = settings.output / "results.json"
    content = report.document(scene.finished, settings, load, FLEET, faults, mean_work_ms)
    figures.write_text(json.dumps(content, indent=2) + "\n")
    written: Sequence[Path] = [figures]
    if find_spec("matplotlib"):
        picture = settings.output / "results.png"
        subtitle = f"{settings.rate:g} requests/s, {settings.load:.0%} of what the fleet could carry at best"
        chart.draw(picture, results, FLEET, faults, settings.seconds, subtitle)
        written = [figures, picture]
    else:
        console.print("no picture: matplotlib is not installed; pip install 'smartlb[demo]' brings it")
    console.print("written:", *(str(path) for path in written), highlight=False, soft_wrap=True)

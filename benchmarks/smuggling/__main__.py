"""Run the corpus through a router to real backends: ``python -m benchmarks.smuggling [--json OUT]``.

Ends with 1 where router and backend disagree, or where an answer is not what the RFCs demand.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from benchmarks.peers.peer import Site
from benchmarks.peers.smartlb import PEER as SMARTLB
from benchmarks.rig import command
from benchmarks.rig.goals import Goal, at_most
from benchmarks.rig.processes import BenchmarkError, Server
from benchmarks.rig.reachable import await_listener
from benchmarks.smuggling.backends import Backend, Recorder, backends
from benchmarks.smuggling.corpus import CORPUS
from benchmarks.smuggling.http2 import CASES, Http2Result, run_http2
from benchmarks.smuggling.running import Result, Verdict, run

ROUTER: Mapping[str, Any] = {
    "listeners": [{"bind": "127.0.0.1:0", "http2": {"enabled": False}}, {"bind": "127.0.0.1:0"}],
    "admin": {"bind": "127.0.0.1:0"},
    "workers": 1,
    "shutdown_s": 2,
    "timeouts": {"header_s": 1.0, "idle_s": 1.0},
    "limits": {"body_bytes": 1_000_000},
}
"""The router's configuration, to which the backend is added: timeouts are short, as some cases wait for them. To the
first listener the preface of HTTP/2 is a malformed request of HTTP/1.1; the second is for the cases in HTTP/2."""


def router_config(backend: str) -> dict[str, Any]:
    """The configuration of a router before one backend."""
    return {**ROUTER, "pools": {"backend": {"backends": [backend], "policy": "round_robin"}}}


def _files(site: Site) -> dict[str, str]:
    return {"smartlb.yaml": json.dumps(router_config(site.backends[0]))}


def _listeners(site: Site) -> list[str]:
    try:
        return list(json.loads((site.folder / "ready.json").read_text())["listeners"])
    except (OSError, json.JSONDecodeError):
        return []


def _ready(site: Site) -> str | None:
    return next(iter(_listeners(site)), None)


@asynccontextmanager
async def router(backend: str) -> AsyncIterator[tuple[str, str]]:
    """A router in processes of its own, before one backend; gives HOST:PORT of its listeners, see `ROUTER`.

    Raises:
        BenchmarkError: it does not start.
    """
    peer = replace(SMARTLB, files=_files, address=_ready)
    with tempfile.TemporaryDirectory(prefix="smartlb-smuggling-") as folder:
        site = Site(Path(folder), "", [backend])
        for file, content in peer.files(site).items():
            Path(folder, file).write_text(content)
        start = [*(peer.find() or []), *peer.arguments(site)]
        with Server(start, site.folder, None, peer.environ(site)) as server:
            await asyncio.to_thread(await_listener, server, partial(peer.address, site))
            first, second = _listeners(site)
            yield first, second


async def through(backend: Backend) -> tuple[dict[str, list[Result]], list[str], list[Http2Result]]:
    """Run the corpus before one backend.

    Returns:
        The results by group, what `run` says of requests that nobody sent, and the results of HTTP/2.
    """
    recorder = Recorder()
    async with backend(recorder) as address, router(address) as (http1_only, both):
        results, strays = await run(http1_only, recorder, [case for cases in CORPUS.values() for case in cases])
        http2 = await run_http2(both, recorder)
    rest = iter(results)
    return {group: [next(rest) for _ in cases] for group, cases in CORPUS.items()}, strays, http2


def table(found: Mapping[str, Mapping[str, Sequence[Result]]]) -> Table:
    """How many cases of each group had which verdict, a line of counts for each backend."""
    shown = Table(title="cases by verdict: " + " / ".join(found), title_justify="left")
    shown.add_column("group")
    shown.add_column("cases", justify="right")
    for verdict in Verdict:
        shown.add_column(verdict.value, justify="right")
    shown.add_column("not as demanded", justify="right")
    for group, cases in CORPUS.items():
        every = [groups[group] for groups in found.values()]
        counts = [[sum(one.verdict is verdict for one in results) for results in every] for verdict in Verdict]
        counts.append([sum(not one.as_demanded for one in results) for results in every])
        shown.add_row(group, str(len(cases)), *(" / ".join(map(str, count)) for count in counts))
    return shown


def complaints(found: Mapping[str, Mapping[str, Sequence[Result]]]) -> list[str]:
    """A line for each result that is not well."""
    return [
        f"{backend}: {group}: {one.case.name}: {one.problem or 'not as demanded'} ({one.case.rule})"
        for backend, groups in found.items()
        for group, results in groups.items()
        for one in results
        if not one.well
    ]


def goals(found: Mapping[str, Mapping[str, Sequence[Result]]], wrong: Sequence[str]) -> list[Goal]:
    """Router and backend should be of one mind, and all answers as the RFCs demand."""
    every = [one for groups in found.values() for results in groups.values() for one in results]
    disagree = sum(one.verdict is Verdict.DISAGREE for one in every)
    return [
        at_most("cases in which router and backend disagree", disagree, 0),
        at_most("cases and requests that did not go as they should", len(wrong), 0),
    ]


def main() -> None:
    """Run, print and write."""
    options = command.Options("smuggling", __doc__)
    arguments = options.parse_args()
    found, wrong = {}, []
    http2: dict[str, list[Http2Result]] = {}
    try:
        for name, backend in backends().items():
            found[name], strays, http2[name] = asyncio.run(through(backend))
            wrong += [f"{name}: {stray}" for stray in strays]
            wrong += [f"{name}: HTTP/2: {one.case.name}: {one.problem}" for one in http2[name] if one.problem]
    except BenchmarkError as error:
        sys.exit(f"{options.prog}: {error}")
    wrong = complaints(found) + wrong
    console = command.results()
    console.print(table(found))
    console.print(f"HTTP/2: {len(CASES)} cases before each backend")
    for line in wrong:
        console.print(f"[red]{escape(line)}[/red]")
    rows = {
        backend: {group: [one.as_json() for one in results] for group, results in groups.items()}
        for backend, groups in found.items()
    }
    of_http2 = {backend: [one.as_json() for one in results] for backend, results in http2.items()}
    command.publish(arguments.json, rows, goals(found, wrong), {"http2": of_http2, "wrong": wrong})
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

"""The admin API: metrics, health, readiness, status, draining of backends, and reload."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from pydantic import ValidationError

from smartlb import __version__
from smartlb.admin.metrics import make_registry
from smartlb.admin.state import NotReloaded, RouterState
from smartlb.admin.status import status
from smartlb.config.model import Backend
from smartlb.config.values import is_ip
from smartlb.control.discovery.discovery import Discovery, NotChanged

STATE = web.AppKey("state", RouterState)
REGISTRY = web.AppKey("registry", CollectorRegistry)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_FOR_MACHINES = ("/metrics", "/healthz", "/readyz")
"""What may be asked for by any name: scrapers and orchestrators have names of their own for a router."""

_OWN_NAMES = ("", "localhost")

_ENDPOINTS = """\
GET  /metrics                         metrics for Prometheus
GET  /healthz                         200 while the supervisor lives
GET  /readyz                          200 when requests can be served; 503 says what is missing
GET  /status                          everything at a glance, as JSON
POST /backends/{pool}/{name}/drain    send no more requests to a backend
POST /backends/{pool}/{name}/undrain  use it again
POST /backends/{pool}                 add a backend, as JSON, to a pool with discovery by the API
DELETE /backends/{pool}/{name}        remove a backend that was added
POST /reload                          read the configuration file again, and apply it or say what is wrong with it
"""


def make_app(state: RouterState) -> web.Application:
    """The application over a router; it reads `state` at every request."""
    app = web.Application(middlewares=[_refuse_other_sites])
    app[STATE] = state
    app[REGISTRY] = make_registry(state)
    app.add_routes(
        [
            web.get("/", _index),
            web.get("/metrics", _metrics),
            web.get("/healthz", _healthz),
            web.get("/readyz", _readyz),
            web.get("/status", _status),
            web.post("/backends/{pool}/{name}/drain", _drain),
            web.post("/backends/{pool}/{name}/undrain", _undrain),
            web.post("/backends/{pool}", _add),
            web.delete("/backends/{pool}/{name}", _remove),
            web.post("/reload", _reload),
        ]
    )
    return app


@web.middleware
async def _refuse_other_sites(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep the pages of other sites in an operator's browser from seeing or changing anything.

    A page's own name may be made to lead here (DNS rebinding), but it stays a name in Host.
    """
    admin = request.app[STATE].config.admin
    name = _without_port(request.host).lower()
    if request.path not in _FOR_MACHINES and not (name in (*_OWN_NAMES, *admin.hosts) or is_ip(name)):
        error = f"requests for {name!r} are refused; ask by address, or add the name to `admin.hosts`"
        return web.json_response({"error": error}, status=421)
    origin = request.headers.get("Origin")
    if request.method in ("POST", "DELETE") and origin is not None and origin.partition("://")[2] != request.host:
        error = f"requests from pages of {origin} are refused; use a page of {request.host} or no browser"
        return web.json_response({"error": error}, status=403)
    if request.app[STATE].handing_over and request.method in ("POST", "DELETE"):
        error = "an upgrade is under way, and this process's changes would be lost with it; ask again in a moment"
        return web.json_response({"error": error}, status=503, headers={"Retry-After": "1", "Connection": "close"})
    return await handler(request)


def _without_port(host: str) -> str:
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]


async def _index(_request: web.Request) -> web.Response:
    return web.Response(text=f"smartlb {__version__}\n\n{_ENDPOINTS}")


async def _metrics(request: web.Request) -> web.Response:
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return web.Response(body=encode(request.app[REGISTRY]), headers={"Content-Type": content_type})


async def _healthz(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    missing = _missing(request.app[STATE])
    return web.json_response({"ready": not missing, "missing": missing}, status=503 if missing else 200)


def _missing(state: RouterState) -> list[str]:
    missing = [] if any(worker.alive for worker in state.workers) else ["no worker is up"]
    for pool, members in state.numbering.pools.items():
        if not state.eligibility.count(pool):
            known = [index for index in members if not state.numbering.backends[index].vacant]
            why = ", ".join(_why_barred(state, index) for index in known) or "none was discovered"
            missing.append(f"pool {pool} has no eligible backend: {why}")
    return missing


def _why_barred(state: RouterState, index: int) -> str:
    reasons = " and ".join(state.eligibility.reasons(index))
    return f"{state.numbering.backends[index].settings.label} is {reasons}"


async def _status(request: web.Request) -> web.Response:
    return web.json_response(status(request.app[STATE]))


async def _drain(request: web.Request) -> web.Response:
    return _set_drained(request, drained=True)


async def _undrain(request: web.Request) -> web.Response:
    return _set_drained(request, drained=False)


def _set_drained(request: web.Request, *, drained: bool) -> web.Response:
    state = request.app[STATE]
    pool, name = request.match_info["pool"], request.match_info["name"]
    members = state.numbering.pools.get(pool)
    if members is None:
        return _unknown(f"there is no pool {pool!r}", list(state.numbering.pools))
    labels = {
        state.numbering.backends[index].settings.label: index
        for index in members
        if not state.numbering.backends[index].vacant
    }
    if name not in labels:
        return _unknown(f"pool {pool} has no backend {name!r}", list(labels))
    index = labels[name]
    state.eligibility.set_drained(index, drained)
    return web.json_response(
        {
            "pool": pool,
            "backend": name,
            "drained": drained,
            "eligible": state.eligibility.eligible(index),
            "in_flight": state.in_flight()[index],
            "eligible_in_pool": state.eligibility.count(pool),
        }
    )


async def _add(request: web.Request) -> web.Response:
    try:
        backend = Backend.model_validate_json(await request.read())
    except ValidationError as invalid:
        problems = [
            ": ".join(filter(None, (".".join(map(str, each["loc"])), each["msg"]))) for each in invalid.errors()
        ]
        return web.json_response({"error": "; ".join(problems)}, status=422)
    return _change_members(
        request,
        lambda discovery, pool, static: discovery.add(pool, backend, static),
        {"backend": backend.label, "address": backend.address},
        status=201,
    )


async def _remove(request: web.Request) -> web.Response:
    name = request.match_info["name"]
    return _change_members(
        request,
        lambda discovery, pool, static: discovery.remove(pool, name, static),
        {"backend": name, "leaving": True},
        status=200,
    )


def _change_members(
    request: web.Request,
    change: Callable[[Discovery, str, list[Backend]], None],
    answer: dict[str, Any],
    *,
    status: int,
) -> web.Response:
    """Change the backends of the pool that a request names.

    Args:
        request: names it.
        change: is told the discovery, the pool and its backends by the configuration.
        answer: what to say besides the pool's name where that works.
        status: likewise.
    """
    state, pool = request.app[STATE], request.match_info["pool"]
    if pool not in state.config.pools:
        return _unknown(f"there is no pool {pool!r}", list(state.config.pools))
    try:
        if state.discovery is None:
            raise NotChanged("this router has no discovery")
        change(state.discovery, pool, state.config.pools[pool].backends)
    except NotChanged as refusal:
        return web.json_response({"error": str(refusal)}, status=409)
    return web.json_response({"pool": pool, **answer}, status=status)


async def _reload(request: web.Request) -> web.Response:
    state = request.app[STATE]
    try:
        if state.reload is None:
            raise NotReloaded(["this router runs without a configuration file"])
        # A client that goes away does not take the reload with it.
        await asyncio.shield(asyncio.ensure_future(state.reload()))
    except NotReloaded as refusal:
        return web.json_response({"reloaded": False, "problems": refusal.problems}, status=422)
    return web.json_response({"reloaded": True, "generation": state.generation})


def _unknown(what: str, known: list[str]) -> web.Response:
    body: dict[str, Any] = {"error": f"{what}; known: {', '.join(known)}", "known": known}
    return web.json_response(body, status=404)

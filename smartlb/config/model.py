"""The configuration's models; units are in the names, defaults are safe, unknown keys are errors.

Every field has a description: the JSON schema and docs/configuration.md are made from them.
"""

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from smartlb.config.section import Section as Section
from smartlb.config.traffic import (
    Affinity,
    Mirror,
    RateLimit,
    Redirect,
    RequestHeaderNames,
    RequestHeaders,
    Respond,
    ResponseHeaderNames,
    ResponseHeaders,
    Rewrite,
    Shares,
)
from smartlb.config.values import (
    NAME,
    Address,
    Authority,
    BindAddress,
    Headers,
    HostName,
    Known,
    Method,
    Name,
    Network,
    Path,
    Regex,
    RequestTarget,
    RetryCause,
    Seconds,
    StatusRange,
)
from smartlb.learning.registry import DRIFT_DETECTORS, ERROR_MODELS, LATENCY_MODELS
from smartlb.policies.registry import POLICIES


class Listener(Section):
    """An address that clients connect to."""

    bind: BindAddress = Field(description="Address and port to listen on; port 0 lets the system choose.")
    trusted_proxies: list[Network] = Field(
        default=[],
        description="Peers whose X-Forwarded-* and X-Request-ID headers are believed; others' are replaced.",
    )


class RouteMatch(Section):
    """What a request must have, all of it, to take a route."""

    host: HostName | None = Field(default=None, description="Host without port; *.example.com matches any subdomain.")
    path_prefix: Path | None = Field(
        default=None, description="Whole path segments: /api matches /api and /api/x, not /apix."
    )
    path_regex: Regex | None = Field(default=None, description="Regular expression for the whole path.")
    methods: list[Method] = Field(default=[], description="Any of these; empty for every method.")
    headers: Headers = Field(default={}, description="Headers with exactly these values.")

    @model_validator(mode="after")
    def _one_kind_of_path(self) -> "RouteMatch":
        if self.path_prefix is not None and self.path_regex is not None:
            raise ValueError("give path_prefix or path_regex, not both")
        return self


class Route(Section):
    """What is done with which requests; the first route that matches is taken."""

    name: Name = Field(description="Shown in metrics and logs.")
    match: RouteMatch = Field(default=RouteMatch(), description="Empty matches every request.")
    pool: Name | None = Field(
        default=None, description="A key of `pools`; or give one of `split`, `redirect` and `respond`."
    )
    priority: int = Field(
        default=0,
        ge=-100,
        le=100,
        description="Requests of higher priority leave the pool's queue first, and are the last that it refuses.",
    )

    split: Shares | None = Field(
        default=None,
        description="In place of `pool`: several pools, each with its share relative to the others', such as "
        "{stable: 95, canary: 5}; 0 sends nothing there.",
    )
    split_by: Literal["request", "client_ip"] = Field(
        default="request",
        description="What is split: every request anew, or clients by their address, each of which stays with one "
        "pool.",
    )
    redirect: Redirect | None = Field(default=None, description="In place of `pool`: send the client elsewhere.")
    respond: Respond | None = Field(default=None, description="In place of `pool`: a fixed answer.")
    rate_limit: RateLimit | None = Field(default=None, description="For each client; none where not given.")
    rewrite: Rewrite | None = Field(default=None, description="Changes to the path; none where not given.")
    set_request_headers: RequestHeaders = Field(
        default={}, description="Headers with the values that backends get, whatever the client sent."
    )
    remove_request_headers: RequestHeaderNames = Field(default=[], description="Headers that backends do not get.")
    set_response_headers: ResponseHeaders = Field(
        default={}, description="Headers with the values that clients get, whatever the backend sent."
    )
    remove_response_headers: ResponseHeaderNames = Field(default=[], description="Headers that clients do not get.")

    mirror: Mirror | None = Field(default=None, description="Copies for another pool; none where not given.")

    @model_validator(mode="after")
    def _one_destination(self) -> "Route":
        if sum(each is not None for each in (self.pool, self.split, self.redirect, self.respond)) != 1:
            raise ValueError("a route needs one, and only one, of `pool`, `split`, `redirect` and `respond`")
        if (self.redirect or self.respond) and (self.edits or self.mirror):
            raise ValueError("`rewrite`, `mirror` and changes of headers are for requests that go to a pool")
        if self.mirror and self.mirror.pool in (self.pool, *(self.split or ())):
            raise ValueError(f"`mirror` needs a pool of its own; {self.mirror.pool!r} has the route's requests")
        if self.rewrite and self.match.path_prefix is None:
            raise ValueError("`rewrite` takes the place of the match's path_prefix, of which there is none")
        return self

    @property
    def edits(self) -> bool:
        """Whether requests or responses are changed on the way."""
        return bool(
            self.rewrite
            or self.set_request_headers
            or self.remove_request_headers
            or self.set_response_headers
            or self.remove_response_headers
        )


class ClassMatch(Section):
    """What a request must have, all of it, to belong to a class."""

    route: Name | None = Field(default=None, description="Name of a route.")
    methods: list[Method] = Field(default=[], description="Any of these; empty for every method.")
    headers: Headers = Field(default={}, description="Headers with exactly these values.")


class RequestClass(Section):
    """A kind of request whose cost may differ by backend; the learned models tell classes apart."""

    name: Name = Field(description="Shown in metrics and logs; `default` names the requests of no class.")
    match: ClassMatch = Field(description="The first class that matches is taken.")


class Backend(Section):
    """One server of a pool."""

    name: Name | None = Field(default=None, description="Shown in metrics and logs; the address where not given.")
    address: Address = Field(description="Host and port; a host name is resolved when the router connects.")
    weight: float = Field(default=1.0, gt=0, le=256, description="Share relative to others, for weighted policies.")
    max_in_flight: int | None = Field(
        default=None, ge=1, description="Requests at once over all workers; more wait in the pool's queue."
    )

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"address": value}
        if not isinstance(value, dict | cls):
            raise ValueError("expected HOST:PORT, or a mapping with `address`")
        return value

    @property
    def label(self) -> str:
        """The name, or the address where none was given."""
        return self.name or self.address


class HealthCheck(Section):
    """Active checks: a GET to each backend at an interval."""

    path: RequestTarget = Field(default="/", description="What to ask for.")
    host: Authority | None = Field(default=None, description="Host header; the backend's address where not given.")
    interval_s: Seconds = Field(default=2.0, description="Time between checks of one backend.")
    timeout_s: Seconds = Field(default=1.0, description="A slower answer is a failure.")
    rise: int = Field(default=2, ge=1, description="Successes in a row that make a failed backend healthy.")
    fall: int = Field(default=3, ge=1, description="Failures in a row that make a backend unhealthy.")
    expected_status: list[StatusRange] = Field(
        default=["200-399"], min_length=1, description="Statuses and ranges that are a success."
    )


class SuccessRate(Section):
    """Ejects backends whose share of successes is far below the mean of their pool."""

    min_backends: int = Field(
        default=5, ge=2, description="With fewer backends that had enough requests, none is compared."
    )
    min_requests: int = Field(default=100, ge=1, description="Requests in an interval that are enough.")
    stdev_factor: float = Field(
        default=1.9, gt=0, le=10, description="How many standard deviations below the mean is far."
    )


class LatencyOutliers(Section):
    """Ejects backends whose median latency is far above that of their pool."""

    factor: float = Field(default=3.0, gt=1, le=1_000, description="How many times the pool's median is far above it.")
    intervals: int = Field(default=3, ge=1, description="Intervals in a row in which it must be.")
    min_backends: int = Field(
        default=3, ge=3, description="With fewer backends that had enough requests, none is compared."
    )
    min_requests: int = Field(default=20, ge=1, description="Successful requests in an interval that are enough.")


class Ejection(Section):
    """Passive checks: a backend whose live requests fail in a row is left out for a time that grows."""

    consecutive_failures: int = Field(
        default=5, ge=1, description="Failures in a row (broken exchange or 5xx) that eject a backend."
    )
    base_ejection_s: Seconds = Field(default=5.0, description="First ejection; the n-th in a row takes n times that.")
    max_ejection_s: Seconds = Field(default=300.0, description="Longest ejection.")
    max_ejected_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of the pool that may be ejected at once."
    )
    interval_s: Seconds = Field(default=10.0, description="Over which backends are compared with their pool.")
    success_rate: SuccessRate | None = Field(
        default=None, description="Comparison by share of successes; none where not given."
    )
    latency: LatencyOutliers | None = Field(
        default=None, description="Comparison by latency to the first byte; none where not given."
    )


class Timeouts(Section):
    """How long a pool's backends may take."""

    connect_s: Seconds = Field(default=2.0, description="For a connection to be made.")
    response_header_s: Seconds = Field(default=30.0, description="From the end of the request to the response's head.")
    request_s: Seconds = Field(default=60.0, description="From arrival to the end of the response.")


class Queue(Section):
    """Requests that wait because every eligible backend is at its max_in_flight."""

    max_waiting: int = Field(default=128, ge=0, description="Per worker; a request beyond that gets 503.")
    timeout_s: Seconds = Field(default=5.0, description="Longest wait; then 503.")


class Retries(Section):
    """When a request is sent to another backend; never once a part of a response has been relayed."""

    max_attempts: int = Field(
        default=2, ge=1, le=10, description="Attempts at a request, the first included, each at another backend."
    )
    retry_on: list[RetryCause] = Field(
        default=["connect_failed", "connect_timeout"],
        description="Causes, as docs/operations.md lists them, and statuses or ranges of them, after which another "
        "backend is tried.",
    )
    non_idempotent: bool = Field(
        default=False,
        description="Whether POST and PATCH may be repeated too after something was sent: the backend may then act "
        "on them twice.",
    )
    attempt_timeout_s: Seconds | None = Field(
        default=None,
        description="From the end of the request to the response's head where another attempt may follow; then that "
        "is a response_timeout. timeouts.response_header_s where not given.",
    )
    budget_share: float = Field(
        default=0.2, ge=0, le=1, description="Retries under way, at most, as a share of the pool's requests under way."
    )
    budget_min: int = Field(
        default=3, ge=0, description="Retries that may be under way at once, whatever the share; per worker."
    )
    attempts_header: bool = Field(
        default=False, description="Whether responses after a retry say `smartlb-attempts: 2`, or how many it took."
    )

    @model_validator(mode="after")
    def _timeout_of_use(self) -> "Retries":
        if self.attempt_timeout_s is not None and "response_timeout" not in self.retry_on:
            raise ValueError("attempt_timeout_s is of use with response_timeout in `retry_on`")
        return self


class IdleConnections(Section):
    """Connections to backends that are kept open between requests."""

    max_per_backend: int = Field(default=64, ge=0, description="Per worker.")
    timeout_s: Seconds = Field(default=30.0, description="Shorter than the backends' own keep-alive timeout.")


class PolicyChoice(Section):
    """A policy by name, with that policy's options beside it."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Annotated[str, Known("policy", POLICIES)] = Field(description="One of the policies.")

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"name": value}
        if not isinstance(value, dict | cls):
            raise ValueError("expected a policy's name, or a mapping with `name` and that policy's options")
        return value

    @model_validator(mode="after")
    def _valid_options(self) -> "PolicyChoice":
        _ = self.options
        return self

    @property
    def options(self) -> Any:
        """The options, as the policy's own model."""
        return POLICIES[self.name].options.model_validate(self.model_extra or {}, strict=True)


class Pool(Section):
    """Servers that do the same job, and how requests are spread over them."""

    backends: list[Backend] = Field(min_length=1, description="`HOST:PORT`, or a mapping with more detail.")
    policy: PolicyChoice = Field(
        default=PolicyChoice(name="learned"), description="A policy's name, or a mapping with its options."
    )
    affinity: Affinity | None = Field(
        default=None, description="What keeps a client at its backend; the policy chooses where not given."
    )
    health_check: HealthCheck | None = Field(default=None, description="Active checks; none where not given.")
    ejection: Ejection | None = Field(default=Ejection(), description="Passive checks; null switches them off.")
    panic_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Where less than this share of the backends is healthy and not ejected, all but drained ones are "
        "used; 0 never does so.",
    )
    slow_start_s: float = Field(
        default=0.0,
        ge=0,
        le=3_600,
        description="How long the weight of a backend grows that becomes eligible again, under every policy; 0 gives "
        "it all at once.",
    )
    max_in_flight: int | None = Field(
        default=None, ge=1, description="Requests at once at all backends, over all workers; more wait in the queue."
    )
    timeouts: Timeouts = Field(default=Timeouts(), description="How long backends may take.")
    queue: Queue = Field(default=Queue(), description="Waiting for a backend with room.")
    retries: Retries = Field(default=Retries(), description="Sending a request to another backend.")
    idle_connections: IdleConnections = Field(default=IdleConnections(), description="Reuse of connections.")

    @model_validator(mode="after")
    def _one_that_binds(self) -> "Pool":
        if self.affinity is not None and POLICIES[self.policy.name].key != "none":
            raise ValueError(f"`affinity` leaves nothing to hash for the policy {self.policy.name}; choose another")
        return self


class ClientTimeouts(Section):
    """How long clients may take."""

    header_s: Seconds = Field(default=10.0, description="From a request's first byte to its complete head.")
    idle_s: Seconds = Field(default=75.0, description="Between requests on a connection, and between bytes of a body.")


class Limits(Section):
    """What one client may send, and how many clients there may be."""

    header_bytes: int = Field(default=32_768, ge=256, description="Request line and headers; more gets 431.")
    header_count: int = Field(default=100, ge=1, description="Header lines; more gets 431.")
    body_bytes: int = Field(default=1_073_741_824, ge=0, description="Request body; more gets 413.")
    connections: int = Field(
        default=10_000, ge=1, description="Client connections per worker; more are closed at once."
    )


class Checkpoint(Section):
    """A file in which the learner keeps what it knows, so that a restart does not begin from nothing."""

    path: str = Field(min_length=1, description="File to read at the start and to replace at intervals.")
    interval_s: Seconds = Field(default=30.0, description="Time between two writings; SIGTERM writes as well.")
    max_age_s: Seconds = Field(
        default=86_400.0, description="An older file is not used; one of `smartlb train` has no age."
    )


class Learner(Section):
    """The process that learns weights and costs for the pools with the learned policy."""

    interval_s: float = Field(default=0.2, ge=0.05, le=5, description="Time between two snapshots.")
    stale_after_s: Seconds = Field(
        default=2.0,
        description="A snapshot older than this is not used: weighted least connections takes over.",
    )
    latency: Literal["first_byte", "total"] = Field(
        default="first_byte",
        description="Which latency is learned: to the response's first byte, or to its end.",
    )
    latency_model: Annotated[str, Known("latency model", LATENCY_MODELS)] = Field(
        default="bayesian_linear", description="Latency by in-flight count and class, one per backend."
    )
    error_model: Annotated[str, Known("error model", ERROR_MODELS)] = Field(
        default="ewm_rate", description="Share of failed requests by class, one per backend."
    )
    drift_detector: Annotated[str, Known("drift detector", DRIFT_DETECTORS)] = Field(
        default="page_hinkley", description="Finds changes of a backend, after which it is learned anew."
    )
    drift_watches: Literal["errors", "all"] = Field(
        default="errors",
        description="What it looks at: failures, or latencies and stalls too. In-flight counts already show these, and "
        "sooner.",
    )
    exploration_floor: float = Field(
        default=0.02, gt=0, le=0.5, description="Least share of a fair share that every backend keeps."
    )
    error_penalty_s: float = Field(
        default=1.0, ge=0, le=3600, description="What a failed request costs, beside its latency."
    )
    seed: int = Field(default=0, ge=0, description="Of the learner's random draws.")
    checkpoint: Checkpoint | None = Field(
        default=None, description="None where not given: each start begins from nothing."
    )


class Admin(Section):
    """The address for metrics, health and status; keep it off public networks."""

    bind: BindAddress = Field(default="127.0.0.1:9900", description="Address and port; port 0 lets the system choose.")


class AccessLog(Section):
    """One JSON object per request and line."""

    path: str = Field(min_length=1, description="File to append to; - for standard output.")


_MOST_WORKERS = 256


def _worker_count(value: Any) -> Any:
    if value == "auto":
        return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("expected a whole number or `auto`")
    return value


Workers = Annotated[
    int,
    Field(ge=1, le=_MOST_WORKERS),
    BeforeValidator(
        _worker_count, json_schema_input_type=Annotated[int, Field(ge=1, le=_MOST_WORKERS)] | Literal["auto"]
    ),
]


class Config(Section):
    """A router's whole configuration."""

    listeners: list[Listener] = Field(min_length=1, description="Where clients connect.")
    pools: dict[Name, Pool] = Field(min_length=1, description="Pools by name.")
    routes: list[Route] = Field(
        default=[], description="In order; where none is given and there is one pool, it serves everything."
    )
    request_classes: list[RequestClass] = Field(default=[], max_length=255, description="In order.")
    timeouts: ClientTimeouts = Field(
        default=ClientTimeouts(), description="For clients; a pool's own `timeouts` are for backends."
    )
    limits: Limits = Field(default=Limits(), description="What clients may send.")
    workers: Workers = Field(
        default="auto", description="Worker processes; `auto` is one per core.", validate_default=True
    )
    shutdown_s: Seconds = Field(default=20.0, description="How long requests under way may take after SIGTERM.")
    learner: Learner = Field(default=Learner(), description="The learned policy's models.")
    admin: Admin = Field(default=Admin(), description="Metrics and health.")
    access_log: AccessLog | None = Field(default=None, description="None where not given.")

    @model_validator(mode="before")
    @classmethod
    def _default_route(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("routes", []) == [] and isinstance(value.get("pools"), dict):
            names = list(value["pools"])
            if len(names) == 1 and isinstance(names[0], str) and NAME.matches(names[0]):
                return {**value, "routes": [{"name": "all", "pool": names[0]}]}
        return value

"""The configuration's models; units are in the names, defaults are safe, unknown keys are errors.

Every field has a description: the JSON schema and docs/configuration.md are made from them.
"""

import os
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from smartlb.config.discovery import Discovery
from smartlb.config.section import Section as Section
from smartlb.config.traffic import (
    Affinity,
    Compression,
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
    Ciphers,
    FilePath,
    Form,
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
    ServerName,
    StatusRange,
    Upgrade,
)
from smartlb.learning.registry import DRIFT_DETECTORS, ERROR_MODELS, LATENCY_MODELS
from smartlb.policies.registry import POLICIES


class CertificateFiles(Section):
    """A certificate and its key."""

    certificate: FilePath = Field(description="PEM file with the certificate, then those of the authorities between.")
    key: FilePath = Field(description="PEM file with the private key, without a password; it may be the same file.")


class ListenerTls(Section):
    """TLS between clients and the router."""

    certificates: list[CertificateFiles] = Field(
        min_length=1, description="Chosen by the name that the client asks for; the first where none has it."
    )
    min_version: Literal["1.2", "1.3"] = Field(default="1.2", description="Oldest version of TLS that is spoken.")
    ciphers: Ciphers = Field(
        default="ECDHE+AESGCM:ECDHE+CHACHA20", description="For TLS 1.2, as OpenSSL writes them; TLS 1.3 has its own."
    )
    client_certificate: Literal["none", "optional", "required"] = Field(
        default="none", description="Whether clients show a certificate; one that is shown must be valid."
    )
    client_ca: FilePath | None = Field(
        default=None, description="PEM file with the authorities whose client certificates are valid."
    )
    reload_s: Seconds = Field(default=10.0, description="Time between two looks at whether the files have changed.")

    @model_validator(mode="after")
    def _authority_for_clients(self) -> "ListenerTls":
        if self.client_certificate != "none" and self.client_ca is None:
            raise ValueError(f"client_certificate: {self.client_certificate} needs client_ca")
        if self.client_certificate == "none" and self.client_ca is not None:
            raise ValueError("client_ca has no effect without client_certificate: optional or required")
        return self


class Http2(Section):
    """HTTP/2 with clients: by ALPN with TLS, by the client's first bytes without."""

    enabled: bool = Field(default=True, description="Whether it is spoken.")
    max_concurrent_streams: int = Field(
        default=100, ge=1, le=10_000, description="Requests under way at once on one connection."
    )
    resets_per_s: float = Field(
        default=20.0,
        gt=0,
        le=100_000,
        description="Streams that a client may reset or break each second in the long run, ten times as many at once; "
        "with more, the connection is closed (CVE-2023-44487).",
    )
    control_frames_per_s: float = Field(
        default=100.0,
        gt=0,
        le=100_000,
        description="Likewise PING, SETTINGS, PRIORITY, empty DATA and unknown frames.",
    )


class Listener(Section):
    """An address that clients connect to."""

    bind: BindAddress = Field(description="Address and port to listen on; port 0 lets the system choose.")
    trusted_proxies: list[Network] = Field(
        default=[],
        description="Proxies whose word on their clients is believed: X-Forwarded-*, X-Request-ID and the like. In a "
        "chain, all of them: the client is the last address in X-Forwarded-For that is not of these.",
    )
    proxy_protocol: bool = Field(
        default=False,
        description="Connections begin with a PROXY header (v1 or v2) that says who the client is; peers that are not "
        "in `trusted_proxies` are closed.",
    )
    protocol: Literal["http", "tcp", "udp"] = Field(
        default="http", description="http routes requests; tcp and udp pass bytes on, to one pool."
    )
    name: Name | None = Field(
        default=None,
        description="Of a tcp or udp listener, the route in metrics and logs; PROTOCOL://BIND where not given.",
    )
    pool: Name | None = Field(
        default=None,
        description="Where a tcp or udp listener's traffic goes; with `sni`, connections that no name there matches.",
    )
    sni: dict[HostName, Name] = Field(
        default={},
        description="Pools of a tcp listener by the host that the client's TLS greeting names; *.example.com matches "
        "any subdomain, and the closest match is taken. TLS goes through to the backend.",
    )
    one_way: bool = Field(
        default=False,
        description="The backends of a udp listener answer nothing, as with syslog; otherwise silence is a failure.",
    )

    tls: ListenerTls | None = Field(
        default=None, description="Clients of an http or tcp listener speak TLS, which ends here; none where not given."
    )

    http2: Http2 = Field(default=Http2(), description="HTTP/2 beside HTTP/1.1, on an http listener.")

    @model_validator(mode="after")
    def _fits_the_protocol(self) -> "Listener":
        if self.protocol == "http":
            for key in ("name", "pool", "sni"):
                if getattr(self, key):
                    raise ValueError(f"`{key}` is for tcp and udp listeners; where requests go is said in `routes`")
        elif self.pool is None and not self.sni:
            raise ValueError(f"a {self.protocol} listener needs `pool`, the pool that its traffic goes to")
        if self.protocol != "http" and self.http2 != Http2():
            raise ValueError("`http2` is for http listeners")
        if self.sni and self.protocol != "tcp":
            raise ValueError("`sni` is for tcp listeners")
        if self.one_way and self.protocol != "udp":
            raise ValueError("`one_way` is for udp listeners")
        if self.tls is not None and self.protocol == "udp":
            raise ValueError("`tls` is for http and tcp listeners")
        if self.tls is not None and self.sni:
            raise ValueError("give `tls`, which ends here, or `sni`, which passes TLS on to the backends, not both")
        if self.proxy_protocol and self.protocol == "udp":
            raise ValueError("`proxy_protocol` is for http and tcp listeners")
        if self.proxy_protocol and not self.trusted_proxies:
            raise ValueError("`proxy_protocol` needs `trusted_proxies`; connections of all other peers are closed")
        return self

    @property
    def label(self) -> str:
        """The name, or protocol and address where none was given."""
        return self.name or f"{self.protocol}://{self.bind}"

    @property
    def pools(self) -> list[str]:
        """The pools that a tcp or udp listener names."""
        return [*([self.pool] if self.pool is not None else []), *self.sni.values()]


class RouteMatch(Section):
    """What a request must have, all of it, to take a route."""

    host: HostName | None = Field(default=None, description="Host without port; *.example.com matches any subdomain.")
    path_prefix: Path | None = Field(
        default=None, description="Whole path segments: /api matches /api and /api/x, not /apix."
    )
    path_regex: Regex | None = Field(
        default=None, description="Regular expression, in RE2's syntax, for the whole path; each byte is a character."
    )
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

    compression: Compression | None = Field(default=None, description="Compression of responses; none where not given.")
    mirror: Mirror | None = Field(default=None, description="Copies for another pool; none where not given.")

    @model_validator(mode="after")
    def _one_destination(self) -> "Route":
        if sum(each is not None for each in (self.pool, self.split, self.redirect, self.respond)) != 1:
            raise ValueError("a route needs one, and only one, of `pool`, `split`, `redirect` and `respond`")
        if (self.redirect or self.respond) and (self.edits or self.mirror or self.compression):
            raise ValueError(
                "`rewrite`, `mirror`, `compression` and changes of headers are for requests that go to a pool"
            )
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
    """Active checks of each backend at an interval: a GET, a call of gRPC, or a connection alone."""

    kind: Literal["http", "grpc", "tcp"] = Field(
        default="http",
        description="http asks for `path`; grpc calls grpc.health.v1; tcp only connects, for backends that do not "
        "speak HTTP.",
    )
    path: RequestTarget = Field(default="/", description="What to ask for.")
    host: Authority | None = Field(default=None, description="Host header; the backend's address where not given.")
    service: Annotated[str, Form(r"[A-Za-z0-9_.]{0,127}", "the name of a gRPC service, such as shop.Orders")] = Field(
        default="", description="That kind grpc asks about, such as shop.Orders; the server as a whole where empty."
    )
    interval_s: Seconds = Field(default=2.0, description="Time between checks of one backend.")
    timeout_s: Seconds = Field(default=1.0, description="A slower answer is a failure.")
    rise: int = Field(default=2, ge=1, description="Successes in a row that make a failed backend healthy.")
    fall: int = Field(default=3, ge=1, description="Failures in a row that make a backend unhealthy.")
    expected_status: list[StatusRange] = Field(
        default=["200-399"], min_length=1, description="Statuses and ranges that are a success."
    )

    @model_validator(mode="after")
    def _as_its_kind_asks(self) -> "HealthCheck":
        for key in sorted(_ASKED.keys() - _ASKED_BY[self.kind]):
            if getattr(self, key) != _ASKED[key]:
                raise ValueError(f"a check of kind {self.kind} {_DOES[self.kind]}, so leave out `{key}`")
        return self


_ASKED = {key: HealthCheck.model_fields[key].default for key in ("path", "host", "expected_status", "service")}
_ASKED_BY = {"http": {"path", "host", "expected_status"}, "grpc": {"host", "service"}, "tcp": set[str]()}
_DOES = {"http": "asks for a path", "grpc": "makes a call", "tcp": "only connects"}


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
    request_s: Seconds | None = Field(
        default=60.0, description="From arrival to the end of the response; null for responses that need not end."
    )
    tunnel_idle_s: Seconds = Field(
        default=3_600.0,
        description="How long nothing may come through a WebSocket or other tunnel before it is closed.",
    )


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


class Hedging(Section):
    """A second attempt at another backend while the first takes longer than nearly all do; the first answer counts."""

    quantile: float = Field(
        default=0.95,
        ge=0.5,
        lt=1,
        description="Of the time to a response's first byte, relative to what the learner predicts where the pool is "
        "learned; after that, the request is hedged.",
    )
    min_delay_s: Seconds = Field(default=0.01, description="The least wait before a hedge, whatever the quantile.")
    max_in_flight: int = Field(
        default=16,
        ge=1,
        description="Requests with two attempts under way, at most, per worker; the budget of `retries` holds as well.",
    )


class IdleConnections(Section):
    """Connections to backends that are kept open between requests."""

    max_per_backend: int = Field(default=64, ge=0, description="Per worker.")
    timeout_s: Seconds = Field(default=30.0, description="Shorter than the backends' own keep-alive timeout.")


class BackendTls(Section):
    """TLS between the router and a pool's backends."""

    verify: bool = Field(
        default=True, description="Whether a backend's certificate must be valid and for its name; false trusts anyone."
    )
    ca: FilePath | None = Field(
        default=None, description="PEM file with the authorities to trust; the system's where not given."
    )
    server_name: ServerName | None = Field(
        default=None, description="Asked for, and what the certificate must be for; the backend's host where not given."
    )
    certificate: FilePath | None = Field(
        default=None, description="PEM file with the router's own certificate, for backends that ask for one."
    )
    key: FilePath | None = Field(default=None, description="PEM file with its private key, without a password.")
    min_version: Literal["1.2", "1.3"] = Field(default="1.2", description="Oldest version of TLS that is spoken.")
    reload_s: Seconds = Field(default=10.0, description="Time between two looks at whether the files have changed.")

    @model_validator(mode="after")
    def _whole(self) -> "BackendTls":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together: give both or neither")
        if self.ca is not None and not self.verify:
            raise ValueError("ca has no effect with verify: false")
        return self


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

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"properties": {"backends": {"minItems": 1}}, "required": ["backends"]},
                {"properties": {"discovery": {"type": "object"}}, "required": ["discovery"]},
            ]
        }
    )

    backends: list[Backend] = Field(
        default=[], description="`HOST:PORT`, or a mapping with more detail; may be left out with `discovery`."
    )
    discovery: Discovery | None = Field(
        default=None, description="Backends that join and leave while the router runs; none where not given."
    )
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
    hedging: Hedging | None = Field(
        default=None, description="A second attempt at what takes too long; none where not given."
    )
    idle_connections: IdleConnections = Field(default=IdleConnections(), description="Reuse of connections.")
    send_proxy_protocol: Literal["v1", "v2"] | None = Field(
        default=None,
        description="Begin each connection to a backend with a PROXY header of that version, which says who the client "
        "is; a connection then serves one request.",
    )
    protocol: Literal["http1", "http2"] = Field(
        default="http1",
        description="What is spoken with the backends: HTTP/1.1, or HTTP/2, which gRPC needs; without TLS from the "
        "first byte on.",
    )
    tls: BackendTls | None = Field(default=None, description="Backends speak TLS; none where not given.")
    upgrades: list[Upgrade] = Field(
        default=["websocket"],
        description="Protocols that clients may switch to; their bytes are tunnelled. [] for none.",
    )

    @property
    def size(self) -> int:
        """Positions for backends: those of the configuration, then those for what discovery finds."""
        return len(self.backends) + (self.discovery.max_backends if self.discovery else 0)

    @model_validator(mode="after")
    def _shared_connections(self) -> "Pool":
        if self.protocol == "http2" and self.send_proxy_protocol:
            raise ValueError(
                "`send_proxy_protocol` needs a connection for each client, and `protocol: http2` shares them"
            )
        kind = self.health_check.kind if self.health_check is not None else "tcp"
        if self.protocol == "http2" and kind == "http":
            raise ValueError("checks of kind http speak HTTP/1.1; with `protocol: http2` use kind: grpc or tcp")
        if self.protocol != "http2" and kind == "grpc":
            raise ValueError("checks of kind grpc speak HTTP/2, so they need `protocol: http2`")
        return self

    @model_validator(mode="after")
    def _one_that_binds(self) -> "Pool":
        if self.affinity is not None and POLICIES[self.policy.name].key != "none":
            raise ValueError(f"`affinity` leaves nothing to hash for the policy {self.policy.name}; choose another")
        return self


class ClientTimeouts(Section):
    """How long clients may take."""

    header_s: Seconds = Field(default=10.0, description="From a request's first byte to its complete head.")
    tls_handshake_s: Seconds = Field(default=10.0, description="From a connection to the end of its TLS handshake.")
    idle_s: Seconds = Field(default=75.0, description="Between requests on a connection, and between bytes of a body.")
    tcp_idle_s: Seconds = Field(
        default=3600.0, description="Between bytes of a connection through a tcp listener, in either direction."
    )
    udp_idle_s: Seconds = Field(
        default=30.0, description="Between datagrams of a session through a udp listener, in either direction."
    )


class Limits(Section):
    """What one client may send, and how many clients there may be."""

    header_bytes: int = Field(default=32_768, ge=256, description="Request line and headers; more gets 431.")
    header_count: int = Field(default=100, ge=1, description="Header lines; more gets 431.")
    body_bytes: int = Field(default=1_073_741_824, ge=0, description="Request body; more gets 413.")
    connections: int = Field(
        default=10_000, ge=1, description="Client connections per worker; more are closed at once."
    )
    connections_per_client: int | None = Field(
        default=None,
        ge=1,
        description="Client connections per worker from one address; more are closed at once. Does not hold for "
        "`trusted_proxies`. No limit where not given.",
    )
    http2_requests: int = Field(
        default=10_000,
        ge=1,
        description="Requests under way over HTTP/2 per worker; more are refused (REFUSED_STREAM), and their clients "
        "may send them again.",
    )
    http2_requests_per_client: int | None = Field(
        default=2_000,
        ge=1,
        description="The same from one address. Does not hold for `trusted_proxies`; null is no limit.",
    )
    udp_sessions: int = Field(
        default=10_000, ge=1, description="UDP sessions per worker; datagrams that would begin more are dropped."
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
    exploration_floor: float = Field(
        default=0.02,
        gt=0,
        le=0.5,
        description="Least weight of a backend, as a share of a fair one; about as much is sent to one whose latest "
        "requests failed, to notice when it has recovered.",
    )
    error_penalty_s: float = Field(
        default=1.0, ge=0, le=3600, description="What a failed request costs, beside its latency."
    )
    checkpoint: Checkpoint | None = Field(
        default=None, description="None where not given: each start begins from nothing."
    )


class Admin(Section):
    """The address for metrics, health and status; keep it off public networks."""

    bind: BindAddress = Field(default="127.0.0.1:9900", description="Address and port; port 0 lets the system choose.")
    hosts: list[HostName] = Field(
        default=[],
        max_length=100,
        description="Names by which the API may be asked, besides `localhost` and addresses. Others are refused, so "
        "that no page in an operator's browser gets here by its own name; metrics, health and readiness are for all.",
    )

    @model_validator(mode="after")
    def _whole_names(self) -> "Admin":
        for name in self.hosts:
            if name.startswith("*."):
                raise ValueError(f"`hosts` are compared as a whole, so write out the names that {name} stands for")
        return self


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


def pool_for_requests(data: dict[str, Any]) -> Any:
    """The name of the pool that serves every request where no routes are given; None where that is not clear.

    Args:
        data: a configuration's top level as plain data, valid or not.
    """
    pools, listeners = data["pools"], data.get("listeners")
    taken, http = set(), not isinstance(listeners, list)
    for listener in listeners if isinstance(listeners, list) else []:
        if not isinstance(listener, dict) or listener.get("protocol", "http") not in ("tcp", "udp"):
            http = True
            continue
        sni = listener.get("sni")
        for name in (listener.get("pool"), *(sni.values() if isinstance(sni, dict) else ())):
            if isinstance(name, str):
                taken.add(name)
    if not http:
        return None
    left = [name for name in pools if name not in taken] or list(pools)
    return left[0] if len(left) == 1 else None


class Config(Section):
    """A router's whole configuration."""

    listeners: list[Listener] = Field(min_length=1, description="Where clients connect.")
    pools: dict[Name, Pool] = Field(min_length=1, description="Pools by name.")
    routes: list[Route] = Field(
        default=[],
        description="In order; where none is given and there is one pool that no tcp or udp listener names, or one in "
        "all, it serves every request.",
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
    user: str | None = Field(
        default=None,
        min_length=1,
        description="Where started as root: the user to become once the addresses are bound, for good.",
    )
    group: str | None = Field(default=None, min_length=1, description="Likewise; the user's own group where not given.")
    learner: Learner = Field(default=Learner(), description="The learned policy's models.")
    admin: Admin = Field(default=Admin(), description="Metrics and health.")
    access_log: AccessLog | None = Field(default=None, description="None where not given.")

    @model_validator(mode="after")
    def _group_of_a_user(self) -> "Config":
        if self.group is not None and self.user is None:
            raise ValueError("`group` needs `user`")
        return self

    @model_validator(mode="before")
    @classmethod
    def _default_route(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("routes", []) == [] and isinstance(value.get("pools"), dict):
            name = pool_for_requests(value)
            if isinstance(name, str) and NAME.matches(name):
                return {**value, "routes": [{"name": "all", "pool": name}]}
        return value

"""What a route may do with its requests besides handing them to a pool; docs/traffic.md explains it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from smartlb.config.section import Section
from smartlb.config.values import Form, HeaderName, Headers, Name

_CONNECTION = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers of one connection (RFC 9110 section 7.6.1), or that say where a message ends: the router's own affair."""

ContentType = Annotated[str, Form(r"[a-z]+/(?:\*|[a-z0-9][a-z0-9.+-]*)", "TYPE/SUBTYPE or TYPE/* in lower case")]

_PLACEHOLDERS = ("{host}", "{path}", "{query}")


def _refuse(names: frozenset[str], given: list[str] | dict[str, str]) -> None:
    for name in given:
        if name.replace("_", "-") in names:
            raise ValueError(f"expected no header that the router needs to have in its own hands, such as {name}")


def _editable(headers: dict[str, str]) -> dict[str, str]:
    _refuse(_CONNECTION, headers)
    return headers


def _settable_in_request(headers: dict[str, str]) -> dict[str, str]:
    _refuse(_CONNECTION | {"x-request-id"}, headers)
    return headers


def _removable(names: list[str]) -> list[str]:
    _refuse(_CONNECTION, names)
    return names


def _removable_from_request(names: list[str]) -> list[str]:
    _refuse(_CONNECTION | {"host", "x-request-id"}, names)
    return names


def _known_placeholders(template: str) -> str:
    for found in re.findall(r"\{[^}]*\}?|\}", template):
        if found not in _PLACEHOLDERS:
            raise ValueError(f"expected no braces but those of {', '.join(_PLACEHOLDERS)}")
    return template


def _some(shares: dict[str, float]) -> dict[str, float]:
    if not any(shares.values()):
        raise ValueError("expected a share above 0 for one pool at least")
    return shares


Location = Annotated[
    str,
    Form(
        r"(?:https?://|/(?![/\\]|\{path\})|\{path\})[!-~]*",
        "an address that begins with http://, https://, / or {path}, without spaces, and not with two slashes",
    ),
    AfterValidator(_known_placeholders),
]
"""Where a redirect leads."""

Prefix = Annotated[
    str, Form(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*", "a path that begins with /, as it is sent: without ? and spaces")
]
"""The beginning of a path as it is sent."""

RequestHeaders = Annotated[Headers, AfterValidator(_settable_in_request)]
"""Headers that may be set in requests."""

ResponseHeaders = Annotated[Headers, AfterValidator(_editable)]
"""Headers that may be set in responses."""

RequestHeaderNames = Annotated[list[HeaderName], AfterValidator(_removable_from_request)]
"""Headers that may be removed from requests."""

ResponseHeaderNames = Annotated[list[HeaderName], AfterValidator(_removable)]
"""Headers that may be removed from responses."""


class Compression(Section):
    """Responses are compressed for clients that take it."""

    encodings: list[Literal["zstd", "br", "gzip"]] = Field(
        default=["zstd", "br", "gzip"], min_length=1, description="Which may be used, the preferred first."
    )
    content_types: list[ContentType] = Field(
        default=[
            "text/*",
            "application/json",
            "application/javascript",
            "application/xml",
            "application/wasm",
            "image/svg+xml",
        ],
        min_length=1,
        description="Types of content that are compressed; TYPE/* for all of a kind.",
    )
    min_bytes: int = Field(
        default=1_024, ge=0, description="Least length; a response that does not say its own is long enough."
    )
    gzip_level: int = Field(default=5, ge=1, le=9, description="Higher is smaller and slower.")
    br_level: int = Field(default=4, ge=0, le=11, description="Likewise.")
    zstd_level: int = Field(default=3, ge=1, le=19, description="Likewise.")


class Redirect(Section):
    """An answer that sends the client elsewhere."""

    status: Literal[301, 302, 307, 308] = Field(
        default=302, description="301 and 308 may be remembered for ever; 307 and 308 keep method and body."
    )
    to: Location = Field(
        description="Where to: {host} is the request's host without port, {path} its path, {query} its query with the "
        "question mark, or nothing."
    )


class Respond(Section):
    """A fixed answer."""

    status: int = Field(default=200, ge=200, le=599, description="Status.")
    body: str = Field(default="", max_length=65_536, description="Sent as UTF-8.")
    headers: ResponseHeaders = Field(
        default={}, description="Further headers; a body is text/plain where content-type is not given."
    )

    @model_validator(mode="after")
    def _body_allowed(self) -> "Respond":
        if self.body and self.status in (204, 205, 304):
            raise ValueError(f"a response of status {self.status} has no body (RFC 9110 section 15)")
        return self


class Rewrite(Section):
    """Changes to the path before it is sent."""

    prefix: Prefix = Field(description="Takes the place of the match's path_prefix.")


Shares = Annotated[dict[Name, Annotated[float, Field(ge=0, le=1_000_000)]], Field(min_length=1), AfterValidator(_some)]
"""Pools with their shares relative to each other."""


class RateLimit(Section):
    """How many requests one client may send to a route; more get 429."""

    requests_per_s: float = Field(
        gt=0,
        le=1_000_000,
        description="Requests a second in the long run, over all workers; 0.5 is one every two seconds.",
    )
    burst: int = Field(
        default=1, ge=1, le=1_000_000, description="Requests that a client may send at once after a rest."
    )
    key: Literal["client_ip", "header"] = Field(
        default="client_ip", description="What tells clients apart: their address, or a header's value."
    )
    header: HeaderName | None = Field(
        default=None, description="Name of that header; requests without it are told apart by address."
    )
    max_clients: int = Field(
        default=10_000,
        ge=1,
        le=10_000_000,
        description="Clients that are remembered; beyond that, the one that has its burst back soonest is forgotten.",
    )

    @model_validator(mode="after")
    def _header_by_name(self) -> "RateLimit":
        if (self.key == "header") != (self.header is not None):
            raise ValueError("`header` names the header for `key: header`, and goes with no other key")
        return self


class Mirror(Section):
    """Copies of requests for another pool, whose responses nobody gets."""

    pool: Name = Field(description="A key of `pools`; not one that the route's own requests go to.")
    share: float = Field(default=1.0, gt=0, le=1, description="Share of the requests that are copied.")
    max_body_bytes: int = Field(
        default=16_384, ge=0, le=1_048_576, description="Requests with larger bodies are not copied."
    )
    max_in_flight: int = Field(
        default=64, ge=1, description="Copies under way at once, per worker; further ones are not made."
    )


class Affinity(Section):
    """Keeps the requests of one client, or for one thing, at one backend."""

    kind: Literal["cookie", "source_ip", "header", "url"] = Field(
        description="What names the backend: a cookie that the router sets; or the hash of the client's address, of a "
        "header, or of host and target."
    )
    name: Annotated[str, Form(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", "the name of a cookie or header")] | None = Field(
        default=None, description="Of the cookie, `smartlb` where not given, or of the header."
    )
    secret_env: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Environment variable with the secret that signs cookies."
    )
    secret_file: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="File with it, in place of `secret_env`."
    )
    ttl_s: Annotated[int, Field(ge=1, le=31_536_000)] | None = Field(
        default=None,
        description="How long a cookie holds after it was set; it is renewed in the second half of that. Until the "
        "browser's end where not given.",
    )
    secure: bool = Field(default=False, description="Whether browsers send the cookie over TLS only.")
    load_bound: Annotated[float, Field(ge=1, le=1_000)] | None = Field(
        default=None,
        description="For hashes: most requests in flight a backend may have, as a multiple of its fair share; what "
        "exceeds it goes to the next on the ring. No bound where not given.",
    )

    @model_validator(mode="after")
    def _of_its_kind(self) -> "Affinity":
        cookie = self.kind == "cookie"
        if cookie and (self.secret_env is None) == (self.secret_file is None):
            raise ValueError("affinity by cookie needs one, and only one, of `secret_env` and `secret_file`")
        wrong = {
            "name": self.kind in ("source_ip", "url"),
            "secret_env": not cookie,
            "secret_file": not cookie,
            "ttl_s": not cookie,
            "secure": not cookie,
            "load_bound": cookie,
        }
        for key, is_wrong in wrong.items():
            if is_wrong and getattr(self, key) not in (None, False):
                raise ValueError(f"`{key}` is of no use with affinity by {self.kind}")
        if self.kind == "header" and self.name is None:
            raise ValueError("affinity by header needs the header's `name`")
        return self

"""The kinds of single values a configuration is made of: addresses, names, patterns and the like."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from smartlb.config.problems import unknown_name
from smartlb.config.regex import LinearRegex


@dataclass(frozen=True, slots=True)
class Form:
    """Annotates text that matches a regular expression from end to end; the schema shows the expression.

    Attributes:
        pattern: understood alike by Python and by JSON schema.
        expected: what to say to someone whose text does not match.
    """

    pattern: str
    expected: str

    def matches(self, value: str) -> bool:
        """Whether `value` has this form."""
        return re.fullmatch(self.pattern, value) is not None

    def _check(self, value: str) -> str:
        if not self.matches(value):
            raise ValueError(f"expected {self.expected}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # The second keyword is no part of JSON schema; editors know it and others pass over it.
        expected = f"Expected {self.expected}."
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$", "patternErrorMessage": expected}


@dataclass(frozen=True, slots=True)
class Known:
    """Annotates text that is one of a registry's names; the schema lists them.

    Attributes:
        what: what the names name, for error messages.
        names: the registry.
    """

    what: str
    names: Mapping[str, object]

    def _check(self, value: str) -> str:
        if value not in self.names:
            raise ValueError(unknown_name(self.what, value, self.names))
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "enum": sorted(self.names)}


def is_ip(host: str) -> bool:
    """Whether a host, without brackets, is an address."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _real_address(value: str) -> str:
    host, _, port = value.rpartition(":")
    if int(port) > 65_535:
        raise ValueError("expected a port of at most 65535")
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except ValueError:
            raise ValueError("expected an IPv6 address in the brackets, such as [::1]:8080") from None
    elif len(host) > 253 or not all(0 < len(label) < 64 for label in host.removesuffix(".").split(".")):
        raise ValueError("expected a host whose parts between the dots have 1 to 63 characters")
    return value


def _with_a_port(value: str) -> str:
    if int(value.rpartition(":")[2]) == 0:
        raise ValueError("expected a port from 1 to 65535")
    return value


def _network(value: str) -> str:
    try:
        ip_network(value, strict=False)
    except ValueError:
        raise ValueError("expected an address or network, such as 10.0.0.0/8 or 192.168.1.7") from None
    return value


def _regex(value: str) -> str:
    LinearRegex(value)
    return value


def _as_routes_see_it(value: str) -> str:
    if "\\" in value or ";" in value or any(segment in (".", "..") for segment in value.split("/")) or "//" in value:
        raise ValueError(
            "expected a path as routes see it, which has no \\, no parameters after ;, and no empty, . and .. segments"
        )
    return value


def _ciphers(value: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).set_ciphers(value)
    except (ssl.SSLError, ValueError):
        raise ValueError("expected ciphers as OpenSSL writes them, such as ECDHE+AESGCM:ECDHE+CHACHA20") from None
    return value


def _distinct_headers(value: Any) -> Any:
    if isinstance(value, dict):
        names = [str(name).lower() for name in value]
        for name in value:
            if names.count(str(name).lower()) > 1:
                raise ValueError(f"header {name!r} is there twice; case makes no difference in their names")
    return value


def _status_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _ascending(value: str) -> str:
    first, _, last = value.partition("-")
    if last and last < first:
        raise ValueError("expected a range that ascends, such as 200-399")
    return value


_HOST_AND_PORT = Form(
    r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Za-z:.%]+\]):[0-9]{1,5}",
    "HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080",
)
NAME = Form(
    r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}",
    "a name of up to 64 letters, digits and _ . -, the first a letter, digit or _",
)

BindAddress = Annotated[str, _HOST_AND_PORT, AfterValidator(_real_address)]
"""Where to listen: HOST:PORT, port 0 for any."""

Address = Annotated[BindAddress, AfterValidator(_with_a_port)]
"""Where to connect to: HOST:PORT."""

Network = Annotated[str, AfterValidator(_network)]
"""An address or a network in CIDR notation."""

Name = Annotated[str, NAME]
"""Of a pool, a route, a request class or a backend."""

HostName = Annotated[
    str,
    Form(
        r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|\[[0-9A-Fa-f:.]+\]",
        "a host without port, such as example.com or *.example.com",
    ),
    AfterValidator(str.lower),
]
"""What a request's Host header is compared with."""

Path = Annotated[str, Form(r"/[^\r\n]*", "a path that begins with /"), AfterValidator(_as_routes_see_it)]
"""The path of a URL as routes see it, unescaped."""

RequestTarget = Annotated[str, Form(r"/[!-~]*", "a path that begins with / and has no spaces")]
"""The path of a URL as it is sent."""

Authority = Annotated[str, Form(r"[!-~]+", "a host, such as example.com or example.com:8080")]
"""The value of a Host header that is sent."""

Regex = Annotated[str, AfterValidator(_regex)]
"""A regular expression that RE2 takes, see `smartlb.config.regex`."""

Method = Annotated[str, Form(r"[A-Z][A-Z-]*", "a method in capitals, such as GET")]
"""An HTTP method."""

HeaderName = Annotated[
    str, Form(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", "the name of an HTTP header"), AfterValidator(str.lower)
]
"""An HTTP header's name, in lower case once read."""

HeaderValue = Annotated[
    str,
    Form(
        r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?",
        "one line of Latin-1 text without spaces around it",
    ),
]
"""An HTTP header's value."""

Headers = Annotated[dict[HeaderName, HeaderValue], BeforeValidator(_distinct_headers)]
"""Headers with the values they must have."""

StatusRange = Annotated[
    str,
    BeforeValidator(_status_as_text, json_schema_input_type=Annotated[int, Field(ge=100, le=599)] | str),
    Form(r"[1-5][0-9]{2}(?:-[1-5][0-9]{2})?", "a status or a range of them, such as 200 or 200-399"),
    AfterValidator(_ascending),
]
"""One status, or the first and the last of a range."""

RetryCause = Annotated[
    str,
    BeforeValidator(_status_as_text, json_schema_input_type=Annotated[int, Field(ge=400, le=599)] | str),
    Form(
        r"connect_failed|connect_timeout|reset|malformed|response_timeout|[45][0-9]{2}(?:-[45][0-9]{2})?",
        "connect_failed, connect_timeout, reset, malformed, response_timeout, or statuses from 400 such as 503 or "
        "502-504",
    ),
    AfterValidator(_ascending),
]
"""Why an attempt at a request ended so that another one may follow: a cause, one status, or a range of them."""

Upgrade = Annotated[
    str,
    Form(
        r"(?!(?:[Hh]2[Cc]?|[Hh][Tt][Tt][Pp]|[Tt][Ll][Ss])(?:/|$))[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:/[!#$%&'*+.^_`|~0-9A-Za-z-]+)?",
        "a protocol such as websocket; not HTTP or TLS, whose requests would pass by routes and limits",
    ),
]
"""A protocol as the Upgrade header names it."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
"""A time, at most a day."""

FilePath = Annotated[str, Form(r"[^\x00]+", "the path of a file")]
"""A file that the configuration refers to."""

Ciphers = Annotated[str, AfterValidator(_ciphers)]
"""An OpenSSL cipher list with at least one cipher that is known here."""

ServerName = Annotated[
    str,
    Form(
        r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*|[0-9A-Fa-f:]+",
        "a host name or an address, without port",
    ),
]
"""What a server's certificate must be for."""

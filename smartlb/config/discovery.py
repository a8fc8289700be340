"""How a pool finds its backends while the router runs."""

from typing import Literal

from pydantic import Field, model_validator

from smartlb.config.section import Section
from smartlb.config.values import Address, FilePath, HostName, Seconds, is_ip


class DnsDiscovery(Section):
    """Backends are what a name resolves to."""

    name: HostName = Field(description="The name to ask for, such as web.internal or _http._tcp.web.internal.")
    record: Literal["a", "srv"] = Field(
        default="a",
        description="a takes every A and AAAA record, with `port`; srv takes SRV records of the lowest priority, with "
        "their ports and weights.",
    )
    port: int | None = Field(default=None, ge=1, le=65_535, description="Of every backend, where `record` is a.")
    resolver: Address | None = Field(
        default=None, description="Address of the name server, HOST:PORT; those of /etc/resolv.conf where not given."
    )
    min_ttl_s: Seconds = Field(default=1.0, description="An answer is asked for anew no sooner, whatever its TTL.")
    max_ttl_s: Seconds = Field(default=60.0, description="And no later.")
    timeout_s: Seconds = Field(default=3.0, description="A question without an answer by then has failed.")

    @model_validator(mode="after")
    def _coherent(self) -> "DnsDiscovery":
        if self.name.startswith(("*.", "[")):
            raise ValueError("`name` must be a name that can be resolved, without `*` or an address")
        if len(self.name) > 253 or any(len(label) > 63 for label in self.name.split(".")):
            raise ValueError("expected a name of at most 253 characters whose parts have at most 63")
        if self.record == "a" and self.port is None:
            raise ValueError("A and AAAA records have no ports: give `port`, or `record: srv`")
        if self.record == "srv" and self.port is not None:
            raise ValueError("SRV records have ports of their own: leave out `port`")
        if self.resolver is not None and not is_ip(self.resolver.rpartition(":")[0].strip("[]")):
            raise ValueError("`resolver` must be an IP address and a port; a name would need a resolver itself")
        if self.min_ttl_s > self.max_ttl_s:
            raise ValueError("`min_ttl_s` must not be above `max_ttl_s`")
        return self


class FileDiscovery(Section):
    """Backends are what a file lists."""

    path: FilePath = Field(description="JSON or YAML file with a list of backends, written as in `backends`.")
    interval_s: Seconds = Field(default=0.5, description="Time between two looks at whether it has changed.")


class ApiDiscovery(Section):
    """Backends are what the admin API is told."""


class Discovery(Section):
    """Where backends come from, besides those in the configuration; one of `dns`, `file` and `api`."""

    dns: DnsDiscovery | None = Field(default=None, description="By DNS.")
    file: FileDiscovery | None = Field(default=None, description="By a file that is watched.")
    api: ApiDiscovery | None = Field(default=None, description="By the admin API; {} has no options.")
    max_backends: int = Field(
        default=32,
        ge=1,
        le=1024,
        description="Room for so many at once, those that are leaving included; more are not used.",
    )

    @model_validator(mode="after")
    def _one_source(self) -> "Discovery":
        if sum(each is not None for each in (self.dns, self.file, self.api)) != 1:
            raise ValueError("discovery needs one, and only one, of `dns`, `file` and `api`")
        return self

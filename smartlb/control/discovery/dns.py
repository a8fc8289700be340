"""Backends from DNS: the A and AAAA records of a name, or its SRV records (RFC 2782).

A name is asked for again when the shortest TTL of the answer is over, within bounds. While no answer comes, questions
are asked at intervals that grow.
"""

import asyncio

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver
from pydantic import ValidationError

from smartlb.config.discovery import DnsDiscovery
from smartlb.config.model import Backend
from smartlb.control.discovery.source import NotFound

_LARGEST_WEIGHT = 256
_LEAST_WEIGHT = 0.01
"""Of an SRV record of weight 0, which is to have a very small chance of being chosen."""


class DnsSource:
    """What a name resolves to.

    Of SRV records those of the lowest priority are taken; their targets are resolved by the same name server. A target
    that does not exist is left out where another one does: hosts often go before the records that name them.
    """

    def __init__(self, settings: DnsDiscovery) -> None:
        self._settings = settings
        self._ttl_s = settings.max_ttl_s
        self.again_s = settings.min_ttl_s
        self._failures = 0

    async def look(self) -> list[Backend]:
        """Ask."""
        settings = self._settings
        self._ttl_s = settings.max_ttl_s
        self.again_s = min(settings.max_ttl_s, settings.min_ttl_s * 2.0 ** min(self._failures, 16))
        self._failures += 1
        try:
            async with asyncio.timeout(settings.timeout_s):
                resolver = self._resolver()
                backends = await (self._addresses(resolver) if settings.record == "a" else self._services(resolver))
        except TimeoutError:
            raise NotFound(f"{settings.name}: no answer within {settings.timeout_s:g} s") from None
        except (dns.exception.DNSException, OSError, ValidationError) as error:
            raise NotFound(f"{settings.name}: {_reason(error)}") from None
        self._failures = 0
        self.again_s = max(settings.min_ttl_s, self._ttl_s)
        return backends

    def _resolver(self) -> dns.asyncresolver.Resolver:
        # Anew for each look, as /etc/resolv.conf may change.
        resolver = dns.asyncresolver.Resolver(configure=self._settings.resolver is None)
        if self._settings.resolver is not None:
            host, _, port = self._settings.resolver.rpartition(":")
            resolver.nameservers = [host.strip("[]")]
            resolver.port = int(port)
        resolver.lifetime = self._settings.timeout_s
        return resolver

    async def _addresses(self, resolver: dns.asyncresolver.Resolver) -> list[Backend]:
        port = self._settings.port
        assert port is not None
        hosts = await self._hosts(resolver, dns.name.from_text(self._settings.name))
        return [Backend(address=_joined(host, port)) for host in hosts]

    async def _services(self, resolver: dns.asyncresolver.Resolver) -> list[Backend]:
        name = dns.name.from_text(self._settings.name)
        answer = await resolver.resolve(name, "SRV", search=False)
        self._heed(answer)
        lowest = min(record.priority for record in answer)
        records = sorted((record for record in answer if record.priority == lowest), key=lambda each: each.to_text())
        if all(record.target == dns.name.root for record in records):
            return []  # RFC 2782: the service is decidedly not available
        largest = max(record.weight for record in records)
        scale = 1.0 if largest <= _LARGEST_WEIGHT else 1.0 / _LARGEST_WEIGHT
        found: dict[str, Backend] = {}
        targets = await asyncio.gather(*(self._target(resolver, record.target) for record in records))
        missing = [own for own in targets if isinstance(own, NotFound)]
        if len(missing) == len(targets):
            raise missing[0]
        for record, own in zip(records, targets, strict=True):
            if isinstance(own, NotFound):
                continue
            weight = max(record.weight * scale, _LEAST_WEIGHT) if largest else 1.0
            for host in own:
                address = _joined(host, record.port)
                found.setdefault(address, Backend(address=address, weight=weight))
        return list(found.values())

    async def _target(self, resolver: dns.asyncresolver.Resolver, name: dns.name.Name) -> list[str] | NotFound:
        """The addresses of a host that SRV records name, or that it does not exist."""
        try:
            return await self._hosts(resolver, name)
        except dns.resolver.NXDOMAIN as error:
            # For how long it does not exist is not looked at: the SRV records say when to ask again.
            return NotFound(f"{self._settings.name}: {_reason(error)}")
        except NotFound as error:
            return error

    async def _hosts(self, resolver: dns.asyncresolver.Resolver, name: dns.name.Name) -> list[str]:
        """The addresses of a host, in an order of their own, not that of the answer, which changes."""
        answers = await asyncio.gather(
            *(resolver.resolve(name, kind, search=False, raise_on_no_answer=False) for kind in ("A", "AAAA"))
        )
        hosts: set[str] = set()
        for answer in answers:
            if answer.rrset is not None:
                self._heed(answer)
                hosts.update(record.address for record in answer.rrset)
        if not hosts:
            raise NotFound(f"{self._settings.name}: {name} has no A or AAAA record")
        return sorted(hosts)

    def _heed(self, answer: dns.resolver.Answer) -> None:
        self._ttl_s = min(self._ttl_s, answer.chaining_result.minimum_ttl)


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

"""A name server for the tests: answers over UDP what it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset


class NameServer(asyncio.DatagramProtocol):
    """Answers from `zone`; as `rcode` says where that is not NOERROR; not at all where `silent`.

    Attributes:
        zone: records by name and type, such as ``("web.test.", "A")``.
        ttl_s: of all of them.
        fails: names for which it answers SERVFAIL.
        questions: how many came.
    """

    def __init__(self) -> None:
        self.zone: dict[tuple[str, str], list[str]] = {}
        self.ttl_s = 0
        self.rcode = dns.rcode.NOERROR
        self.silent = False
        self.fails: set[str] = set()
        self.questions = 0
        self.address = ""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self.address = "{}:{}".format(*transport.get_extra_info("sockname"))

    def datagram_received(self, data: bytes, source: Any) -> None:
        self.questions += 1
        if self.silent:
            return
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        (question,) = query.question
        kind = dns.rdatatype.to_text(question.rdtype)
        name = question.name.to_text()
        if self.rcode != dns.rcode.NOERROR:
            answer.set_rcode(self.rcode)
        elif name in self.fails:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif records := self.zone.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(question.name, self.ttl_s, "IN", kind, *records))
        self._transport.sendto(answer.to_wire(), source)


@asynccontextmanager
async def name_server() -> AsyncIterator[NameServer]:
    """A server on a port of its own until the block ends."""
    server = NameServer()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", 0)
    )
    try:
        yield server
    finally:
        transport.close()

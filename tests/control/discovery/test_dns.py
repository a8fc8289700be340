"""DNS as a source of backends, asked of a real name server."""

from pathlib import Path
from typing import Any

import dns.rcode
import pytest
from pydantic import ValidationError

from smartlb.config.discovery import DnsDiscovery
from smartlb.control.discovery.dns import DnsSource
from smartlb.control.discovery.source import NotFound
from tests.control.discovery.name_server import NameServer, name_server
from tests.control.discovery.test_live_discovery import fleet, names_in, pool, serves_only
from tests.served import configuration, serving


def source(server: NameServer, **settings: Any) -> DnsSource:
    given = {"name": "web.test", "resolver": server.address, "min_ttl_s": 0.5, "max_ttl_s": 60.0, "timeout_s": 5.0}
    return DnsSource(DnsDiscovery(**{**given, **settings}))


async def found(source: DnsSource) -> list[tuple[str, float]]:
    return [(backend.address, backend.weight) for backend in await source.look()]


async def test_addresses_of_both_kinds_get_the_port() -> None:
    async with name_server() as server:
        server.zone = {("web.test.", "A"): ["10.0.0.2", "10.0.0.1"], ("web.test.", "AAAA"): ["2001:db8::1"]}
        of = source(server, port=80)
        assert await found(of) == [("10.0.0.1:80", 1.0), ("10.0.0.2:80", 1.0), ("[2001:db8::1]:80", 1.0)]


async def test_services_of_the_lowest_priority_have_ports_and_weights() -> None:
    async with name_server() as server:
        server.zone = {
            ("web.test.", "SRV"): ["10 5 81 a.test.", "10 0 82 b.test.", "20 9 83 c.test."],
            ("a.test.", "A"): ["10.0.0.1", "10.0.0.2"],
            ("b.test.", "AAAA"): ["::1"],
        }
        of = source(server, record="srv")
        assert sorted(await found(of)) == [("10.0.0.1:81", 5.0), ("10.0.0.2:81", 5.0), ("[::1]:82", 0.01)]
        server.zone["web.test.", "SRV"] = ["0 65535 81 a.test.", "0 256 81 b.test."]
        assert [weight for _, weight in sorted(await found(of))] == [pytest.approx(256, 0.01)] * 2 + [1.0]
        server.zone["web.test.", "SRV"] = ["0 0 81 b.test."]
        assert await found(of) == [("[::1]:81", 1.0)]
        server.zone["web.test.", "SRV"] = ["0 0 0 ."]
        assert await found(of) == []


async def test_a_target_that_does_not_exist_is_left_out_and_one_that_cannot_be_asked_for_is_not() -> None:
    async with name_server() as server:
        server.zone = {
            ("web.test.", "SRV"): ["0 1 81 a.test.", "0 1 82 gone.test.", "0 1 83 empty.test."],
            ("a.test.", "A"): ["10.0.0.1"],
            ("empty.test.", "TXT"): ["x"],
        }
        of = source(server, record="srv", timeout_s=1.0)
        assert await found(of) == [("10.0.0.1:81", 1.0)]
        server.fails.add("gone.test.")
        with pytest.raises(NotFound):
            await of.look()
        server.fails.clear()
        del server.zone["a.test.", "A"]
        with pytest.raises(NotFound, match="NXDOMAIN"):
            await of.look()


async def test_records_that_are_no_backends_are_a_failure() -> None:
    async with name_server() as server:
        server.zone = {("web.test.", "SRV"): ["0 1 0 a.test."], ("a.test.", "A"): ["10.0.0.1"]}
        with pytest.raises(NotFound, match="address"):
            await source(server, record="srv").look()


@pytest.mark.parametrize(("ttl_s", "again_s"), [(0, 0.5), (20, 20.0), (3600, 60.0)])
async def test_the_ttl_says_when_to_ask_again_within_bounds(ttl_s: int, again_s: float) -> None:
    async with name_server() as server:
        server.ttl_s, server.zone = ttl_s, {("web.test.", "A"): ["10.0.0.1"]}
        of = source(server, port=80)
        await of.look()
        assert of.again_s == again_s


async def test_failures_say_why_and_are_asked_again_more_and_more_seldom() -> None:
    async with name_server() as server:
        of = source(server, port=80, timeout_s=0.2)
        with pytest.raises(NotFound, match=r"web\.test: NXDOMAIN"):
            await of.look()
        server.zone = {("web.test.", "TXT"): ["x"]}
        with pytest.raises(NotFound, match="has no A or AAAA record"):
            await of.look()
        server.rcode = dns.rcode.SERVFAIL
        with pytest.raises(NotFound):
            await of.look()
        server.silent = True
        with pytest.raises(NotFound):
            await of.look()
        assert of.again_s == 0.5 * 2**3
        server.silent, server.rcode, server.zone = False, dns.rcode.NOERROR, {("web.test.", "A"): ["10.0.0.1"]}
        assert await found(of) == [("10.0.0.1:80", 1.0)]
        assert of.again_s == 0.5


async def test_a_router_follows_services_and_keeps_the_last_answer(tmp_path: Path) -> None:
    async with fleet() as at, name_server() as server:
        port = {name: address.rpartition(":")[2] for name, address in at.items()}
        server.zone = {
            ("_http._tcp.web.test.", "SRV"): [f"0 1 {port['a']} local.test.", f"0 1 {port['b']} local.test."],
            ("local.test.", "A"): ["127.0.0.1"],
        }
        settings: dict[str, Any] = {"name": "_http._tcp.web.test", "record": "srv", "resolver": server.address}
        settings |= {"min_ttl_s": 0.05, "max_ttl_s": 0.1, "timeout_s": 1.0}
        config = configuration([], pool({"dns": settings}))
        async with serving(config, tmp_path) as router:
            await serves_only(router, {"a", "b"})
            server.zone["_http._tcp.web.test.", "SRV"] = [f"0 1 {port['c']} local.test."]
            await serves_only(router, {"c"})
            for rcode in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL):
                server.rcode = rcode
                status = await router.status_when(lambda s: s["pools"]["web"]["discovery"]["failure"])
                assert names_in(status) == {at["c"]}
                await serves_only(router, {"c"})
                server.rcode = dns.rcode.NOERROR
                await router.status_when(lambda s: not s["pools"]["web"]["discovery"]["failure"])
            server.zone["_http._tcp.web.test.", "SRV"] = [f"0 1 {port['d']} local.test."]
            await serves_only(router, {"d"})
            assert "discovery failed, 1 backends stay" in router.log
            assert "discovery answers again" in router.log
            assert "Traceback" not in router.log


async def test_a_name_server_that_is_silent_at_the_start_keeps_nothing_from_starting(tmp_path: Path) -> None:
    async with fleet() as at, name_server() as server:
        server.silent = True
        dns_settings = {"name": "web.test", "port": 80, "resolver": server.address, "timeout_s": 0.2}
        config = configuration([{"name": "a", "address": at["a"]}], pool({"dns": dns_settings}))
        async with serving(config, tmp_path) as router:
            await serves_only(router, {"a"})


@pytest.mark.parametrize(
    "settings",
    [
        {"name": "*.web.test", "port": 80},
        {"name": "web.test"},
        {"name": "web.test", "record": "srv", "port": 80},
        {"name": "web.test", "port": 80, "resolver": "ns.test:53"},
        {"name": "web.test", "port": 80, "min_ttl_s": 9.0, "max_ttl_s": 1.0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DnsDiscovery(**settings)

"""What a configuration may say of tcp and udp listeners, and the pools that they use."""

from typing import Any

import pytest
import yaml

from smartlb.config.load import parse
from smartlb.config.model import Config
from smartlb.config.numbering import Numbering
from smartlb.config.problems import ConfigError
from smartlb.core.record import NO_ROUTE

TCP = {"bind": "h:1", "protocol": "tcp", "pool": "web"}
UDP = {**TCP, "protocol": "udp"}
TLS = {"certificates": [{"certificate": "/a.pem", "key": "/a.key"}]}


def config(*listeners: dict[str, Any], **rest: Any) -> Config:
    pools = {"web": {"backends": ["a:1"]}, "db": {"backends": ["a:1"]}}
    data = {"listeners": list(listeners), "pools": pools, **rest}
    return parse(yaml.safe_dump(data), "f")


def problems(*listeners: dict[str, Any], **rest: Any) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        config(*listeners, **rest)
    return [f"{problem.place}: {problem.message}" for problem in raised.value.problems]


def test_listeners_are_routes_after_those_of_requests() -> None:
    sni = {"bind": "h:4", "protocol": "tcp", "sni": {"a.example": "db"}, "pool": "web", "name": "tls"}
    found = config({"bind": "h:2"}, TCP, UDP, sni, routes=[{"name": "all", "pool": "db"}])
    numbering = Numbering(found)
    assert numbering.routes == ["all", "tcp://h:1", "udp://h:1", "tls"]
    assert numbering.route_pools == ["db", "web", "web", ""]
    assert numbering.listeners == [NO_ROUTE, 1, 2, 3]
    assert Config.model_validate_json(found.model_dump_json()) == found


def test_requests_go_to_the_pool_that_no_other_listener_names() -> None:
    assert [route.pool for route in config({"bind": "h:2"}, TCP).routes] == ["db"]


def test_without_http_listeners_no_routes_are_needed() -> None:
    assert config(TCP).routes == []


def test_routes_are_needed_where_it_is_not_clear_where_requests_go() -> None:
    both = {**TCP, "sni": {"a.example": "db"}}
    assert problems({"bind": "h:2"}, both) == ["pools: there are 2 pools, so `routes` must say which requests go where"]


@pytest.mark.parametrize(
    ("listener", "problem"),
    [
        ({"bind": "h:1", "pool": "web"}, "`pool` is for tcp and udp listeners; where requests go is said in `routes`"),
        ({"bind": "h:1", "name": "x"}, "`name` is for tcp and udp listeners; where requests go is said in `routes`"),
        ({"bind": "h:1", "protocol": "tcp"}, "a tcp listener needs `pool`, the pool that its traffic goes to"),
        ({**UDP, "sni": {"a": "db"}}, "`sni` is for tcp listeners"),
        ({**TCP, "one_way": True}, "`one_way` is for udp listeners"),
        ({**UDP, "proxy_protocol": True}, "`proxy_protocol` is for http and tcp listeners"),
        ({**UDP, "tls": TLS}, "`tls` is for http and tcp listeners"),
        (
            {**TCP, "tls": TLS, "sni": {"a.example": "web"}},
            "give `tls`, which ends here, or `sni`, which passes TLS on to the backends, not both",
        ),
        (
            {**TCP, "proxy_protocol": True},
            "`proxy_protocol` needs `trusted_proxies`; connections of all other peers are closed",
        ),
    ],
)
def test_keys_that_do_not_fit_the_protocol(listener: dict[str, Any], problem: str) -> None:
    assert problems(listener, routes=[{"name": "all", "pool": "web"}]) == [f"listeners[0]: {problem}"]


@pytest.mark.parametrize(
    ("listeners", "problem"),
    [
        ([{**TCP, "protocol": "tpc"}], "listeners[0].protocol: expected 'http', 'tcp' or 'udp'; found 'tpc'"),
        ([{**TCP, "pool": "wbe"}], "listeners[0].pool: pool 'wbe' unknown; did you mean 'web'? (one of: db, web)"),
        (
            [{**TCP, "sni": {"a.example": "wbe"}}],
            "listeners[0].sni.'a.example': pool 'wbe' unknown; did you mean 'web'? (one of: db, web)",
        ),
        ([TCP, TCP], "listeners[1].bind: 'h:1' is taken by listeners[0].bind, 'h:1'; listen on another port"),
        ([UDP, UDP], "listeners[1].bind: 'h:1' is taken by listeners[0].bind, 'h:1'; listen on another port"),
        (
            [{**TCP, "name": "x"}, {**UDP, "name": "x"}],
            "listeners[1].name: route 'x' is there twice, first as listeners[0].name; names must differ",
        ),
    ],
)
def test_listeners_that_cannot_be(listeners: list[dict[str, Any]], problem: str) -> None:
    assert problem in problems(*listeners)


def test_tcp_and_udp_may_have_the_same_port() -> None:
    assert len(config(TCP, UDP).listeners) == 2


def test_policies_and_options_that_are_for_requests() -> None:
    pools = {
        "web": {"backends": ["a:1"], "policy": "url_hash"},
        "db": {"backends": ["a:1"], "policy": {"name": "url_hash"}, "send_proxy_protocol": "v1", "tls": {}},
    }
    assert problems(TCP, {**UDP, "pool": "db"}, pools=pools) == [
        "listeners[0].pool: pool 'web' has the policy url_hash, but tcp traffic has no URLs",
        "listeners[1].pool: pool 'db' has the policy url_hash, but udp traffic has no URLs",
        "listeners[1].pool: pool 'db' has `send_proxy_protocol`, which is for connections, not for udp",
        "listeners[1].pool: pool 'db' has `tls`, which is for connections, not for udp",
    ]


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ({"kind": "tcp", "path": "/health"}, "a check of kind tcp only connects, so leave out `path`"),
        ({"kind": "grpc", "path": "/health"}, "a check of kind grpc makes a call, so leave out `path`"),
        ({"kind": "http", "service": "a.B"}, "a check of kind http asks for a path, so leave out `service`"),
    ],
)
def test_a_check_has_what_its_kind_asks_by(check: dict[str, str], problem: str) -> None:
    pools = {"web": {"backends": ["a:1"], "health_check": check}}
    assert problems(TCP, pools=pools) == [f"pools.web.health_check: {problem}"]


@pytest.mark.parametrize(("protocol", "kind"), [("http1", "grpc"), ("http2", "http")])
def test_a_check_speaks_what_its_pool_speaks(protocol: str, kind: str) -> None:
    pools = {"web": {"backends": ["a:1"], "protocol": protocol, "health_check": {"kind": kind}}}
    (problem,) = problems(TCP, pools=pools)
    assert problem.startswith(f"pools.web: checks of kind {kind} speak HTTP/")


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize(
    "affinity",
    [{"kind": "cookie", "secret_env": "SECRET"}, {"kind": "header", "name": "x-user"}, {"kind": "url"}],
    ids=lambda affinity: affinity["kind"],
)
def test_connections_and_datagrams_have_no_affinity_by_what_only_requests_have(
    protocol: str, affinity: dict[str, Any]
) -> None:
    listener, kind = {**TCP, "protocol": protocol}, affinity["kind"]
    pools = {"web": {"backends": ["a:1"], "affinity": affinity}}
    why = f"pool 'web' has affinity by {kind}, but {protocol} traffic has none; use source_ip"
    assert problems(listener, pools=pools) == [f"listeners[0].pool: {why}"]
    config(listener, pools={"web": {"backends": ["a:1"], "affinity": {"kind": "source_ip"}}})


def test_the_name_of_the_route_that_goes_without_saying_is_taken() -> None:
    found = problems({"bind": "h:2"}, {**TCP, "name": "all"}, pools={"web": {"backends": ["a:1"]}})
    assert len(found) == 1
    assert "'all'" in found[0]


@pytest.mark.parametrize(
    "dns",
    [{"name": "a.b", "resolver": "999.1.1.1:53"}, {"name": "a.b", "resolver": "8.8:53"}, {"name": "x" * 64 + ".b"}],
    ids=["octet", "short", "label"],
)
def test_dns_that_can_never_work_is_refused(dns: dict[str, Any]) -> None:
    assert len(problems({"bind": "h:2"}, pools={"web": {"discovery": {"dns": {"port": 80, **dns}}}})) == 1


def test_hosts_of_the_admin_api_are_whole_names() -> None:
    (problem,) = problems({"bind": "h:2"}, pools={"web": {"backends": ["a:1"]}}, admin={"hosts": ["*.internal"]})
    assert "write out the names" in problem

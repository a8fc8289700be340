"""What a route may and may not do with its requests."""

from typing import Any

import pytest
import yaml

from smartlb.config.load import parse
from smartlb.config.problems import ConfigError

_WEB = {"backends": ["127.0.0.1:8000"]}


def config_with(route: dict[str, Any], **pool: Any) -> Any:
    pools = {"web": {**_WEB, **pool}}
    data = {"listeners": [{"bind": "127.0.0.1:0"}], "pools": pools, "routes": [{"name": "a", **route}]}
    return parse(yaml.safe_dump(data), "smartlb.yaml")


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ({}, "only one, of `pool`, `split`, `redirect` and `respond`"),
        ({"pool": "web", "respond": {}}, "only one, of"),
        ({"split": {"web": 1, "wbe": 1}}, "wbe"),
        ({"split": {"web": 0}}, "a share above 0"),
        ({"split": {}}, "at least"),
        ({"redirect": {"to": "ftp://a/"}}, "begins with http://"),
        ({"redirect": {"to": "/a b"}}, "without spaces"),
        ({"redirect": {"to": "https://{hots}/"}}, "{host}, {path}, {query}"),
        ({"redirect": {"to": "https://a/{path"}}, "{host}, {path}, {query}"),
        ({"redirect": {"to": "/", "status": 303}}, "301, 302, 307 or 308"),
        ({"respond": {"status": 204, "body": "x"}}, "has no body"),
        ({"respond": {"status": 101}}, "at least 200"),
        ({"respond": {"headers": {"Content-Length": "3"}}}, "content-length"),
        ({"respond": {}, "set_request_headers": {"a": "b"}}, "for requests that go to a pool"),
        ({"pool": "web", "rate_limit": {"requests_per_s": 0}}, "a number above 0"),
        ({"pool": "web", "rate_limit": {"requests_per_s": 1, "key": "header"}}, "`header` names the header"),
        ({"pool": "web", "rate_limit": {"requests_per_s": 1, "header": "x"}}, "`header` names the header"),
        ({"pool": "web", "mirror": {"pool": "web"}}, "a pool of its own"),
        ({"split": {"web": 1}, "mirror": {"pool": "web"}}, "a pool of its own"),
        ({"pool": "web", "mirror": {"pool": "wbe"}}, "'wbe' unknown"),
        ({"respond": {}, "mirror": {"pool": "web"}}, "for requests that go to a pool"),
        ({"pool": "web", "rewrite": {"prefix": "/new"}}, "path_prefix, of which there is none"),
        ({"pool": "web", "match": {"path_prefix": "/a"}, "rewrite": {"prefix": "/n w"}}, "without ? and spaces"),
        ({"pool": "web", "set_request_headers": {"x": "a\r\nb: c"}}, "one line"),
        ({"pool": "web", "set_request_headers": {"a:b": "c"}}, "the name of an HTTP header"),
        ({"pool": "web", "set_request_headers": {"Transfer_Encoding": "chunked"}}, "such as transfer_encoding"),
        ({"pool": "web", "set_request_headers": {"X-Request-ID": "1"}}, "such as x-request-id"),
        ({"pool": "web", "remove_request_headers": ["Host"]}, "such as host"),
        ({"pool": "web", "set_response_headers": {"Connection": "close"}}, "such as connection"),
        ({"pool": "web", "remove_response_headers": ["content-length"]}, "such as content-length"),
    ],
)
def test_what_a_route_cannot_do_is_said(route: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config_with(route)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("affinity", "message"),
    [
        ({"kind": "cookie"}, "only one, of `secret_env` and `secret_file`"),
        ({"kind": "cookie", "secret_env": "A", "secret_file": "b"}, "only one, of"),
        ({"kind": "cookie", "secret_env": "A", "load_bound": 2.0}, "`load_bound` is of no use"),
        ({"kind": "cookie", "secret_env": "A", "name": "a b"}, "the name of a cookie or header"),
        ({"kind": "source_ip", "name": "x"}, "`name` is of no use"),
        ({"kind": "url", "secret_env": "A"}, "`secret_env` is of no use"),
        ({"kind": "header"}, "needs the header's `name`"),
        ({"kind": "cookies"}, "cookie"),
    ],
)
def test_what_affinity_cannot_do_is_said(affinity: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config_with({"pool": "web"}, affinity=affinity)
    assert message in str(error.value)


def test_affinity_and_a_hashing_policy_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match="nothing to hash for the policy ip_hash"):
        config_with({"pool": "web"}, affinity={"kind": "source_ip"}, policy="ip_hash")

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

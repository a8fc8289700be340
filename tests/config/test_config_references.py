import pytest

from smartlb.config.load import parse
from smartlb.config.problems import ConfigError


def problems(text: str) -> list[tuple[int | None, str, str]]:
    """The line, place and message of everything that is wrong with `text`."""
    with pytest.raises(ConfigError) as raised:
        parse(text, "f")
    return [(problem.line, problem.place, problem.message) for problem in raised.value.problems]


def router(
    listeners: str = "[{bind: 127.0.0.1:80}]",
    pools: str = "{web: {backends: [a:1]}}",
    routes: str = "[{name: all, pool: web}]",
    classes: str = "[]",
    more: str = "",
) -> str:
    return f"listeners: {listeners}\npools: {pools}\nroutes: {routes}\nrequest_classes: {classes}\n{more}\n"


def test_all_is_well() -> None:
    classes = "[{name: up, match: {route: all}}, {name: down, match: {}}]"
    pools = "{web: {backends: [a:1, b:1]}, api: {backends: [a:1, {name: a, address: a:1}]}}"
    listeners = "[{bind: 127.0.0.1:80}, {bind: 127.0.0.2:80}, {bind: '[::]:80'}, {bind: h:0}, {bind: h:0}]"
    assert len(parse(router(listeners, pools, classes=classes), "f").listeners) == 5


def test_route_to_an_unknown_pool() -> None:
    assert problems(router(routes="[{name: all, pool: wbe}]")) == [
        (3, "routes[0].pool", "pool 'wbe' unknown; did you mean 'web'? (one of: web)")
    ]


def test_class_of_an_unknown_route() -> None:
    assert problems(router(classes="[{name: up, match: {route: al}}]")) == [
        (4, "request_classes[0].match.route", "route 'al' unknown; did you mean 'all'? (one of: all)")
    ]


def test_class_of_the_route_that_is_made_by_itself() -> None:
    text = router(classes="[{name: up, match: {route: all}}]").replace("routes: [{name: all, pool: web}]\n", "")
    assert parse(text, "f").request_classes[0].match.route == "all"


def test_names_that_must_differ() -> None:
    text = router(
        pools="{web: {backends: [a:1, {address: a:1}, {name: b, address: c:1}, {name: b, address: d:1}]}}",
        routes="[{name: all, pool: web}, {name: all, pool: web}]",
        classes="[{name: up, match: {}}, {name: up, match: {}}]",
    )
    assert [(line, place, message.removesuffix("; names must differ")) for line, place, message in problems(text)] == [
        (2, "pools.web.backends[1].address", "backend 'a:1' is there twice, first as pools.web.backends[0]"),
        (2, "pools.web.backends[3].name", "backend 'b' is there twice, first as pools.web.backends[2].name"),
        (3, "routes[1].name", "route 'all' is there twice, first as routes[0].name"),
        (4, "request_classes[1].name", "request class 'up' is there twice, first as request_classes[0].name"),
    ]


def test_class_named_like_the_rest() -> None:
    assert problems(router(classes="[{name: default, match: {}}]")) == [
        (4, "request_classes[0].name", "'default' is the name of the requests of no class; choose another")
    ]


@pytest.mark.parametrize("routes", ["", "routes: []\n"])
def test_several_pools_need_routes(routes: str) -> None:
    text = "listeners: [{bind: h:80}]\n" + routes + "pools: {web: {backends: [a:1]}, api: {backends: [a:1]}}\n"
    assert [(place, message) for _, place, message in problems(text)] == [
        ("pools", "there are 2 pools, so `routes` must say which requests go where")
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("localhost:80", "LOCALHOST:080"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("127.0.0.1:80", "0.0.0.0:80"),
        ("[::]:80", "[::1]:80"),
    ],
)
def test_listeners_in_each_others_way(first: str, second: str) -> None:
    assert problems(router(listeners=f"[{{bind: '{first}'}}, {{bind: '{second}'}}]")) == [
        (
            1,
            "listeners[1].bind",
            f"{second!r} is taken by listeners[0].bind, {first!r}; listen on another port",
        )
    ]


@pytest.mark.parametrize(("bind", "more"), [("127.0.0.1:9900", ""), ("h:1", "admin: {bind: h:1}")])
def test_listener_in_the_way_of_the_admin_api(bind: str, more: str) -> None:
    assert problems(router(listeners=f"[{{bind: {bind}}}]", more=more)) == [
        (1, "listeners[0].bind", f"{bind!r} is taken by admin.bind, {bind!r}; listen on another port")
    ]


def test_contradictions_are_found_although_other_parts_are_invalid() -> None:
    text = router(
        listeners="[{bind: 7}]",
        pools="{web: {backends: [a:1, 7, a:1], queue: 7}}",
        routes="[7, {name: all, pool: wbe}]",
        classes="[{name: default, match: 7}]",
        more="admin: 7",
    )
    places = [place for _, place, _ in problems(text)]
    assert places == [
        "listeners[0].bind",
        "pools.web.backends[1]",
        "pools.web.backends[2]",
        "pools.web.queue",
        "routes[0]",
        "routes[1].pool",
        "request_classes[0].name",
        "request_classes[0].match",
        "admin",
    ]

"""What parts of a configuration say about each other: names that must exist, and ones that must differ.

These checks read the plain data, not the models, so that they also work where other parts are invalid; what
has not the expected shape is passed over, for the models report it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from smartlb.config.model import Admin, pool_for_requests
from smartlb.config.numbering import DEFAULT_CLASS
from smartlb.config.problems import Location, spell, unknown_name

Finding = tuple[Location, str]
Named = tuple[Location, str]


def contradictions(data: dict[str, Any]) -> Iterator[Finding]:
    """Where the parts of a configuration contradict each other, and how.

    Args:
        data: the configuration's top level.
    """
    pools = data.get("pools")
    routes = list(_texts(data, "routes", "name"))
    classes = list(_texts(data, "request_classes", "name"))
    if isinstance(pools, dict):
        yield from _unknown("pool", _texts(data, "routes", "pool"), pools)
        yield from _unknown("pool", _split_pools(data), pools)
        yield from _unknown("pool", _mirror_pools(data), pools)
        if len(pools) > 1 and data.get("routes", []) == [] and _takes_requests(data) and not pool_for_requests(data):
            yield ("pools",), f"there are {len(pools)} pools, so `routes` must say which requests go where"
        yield from _of_listeners(data, pools)
        for name in pools:
            yield from _repeated("backend", _backends(pools, name))
            yield from _without_backends(pools, name)
    yield from _unknown("route", _class_routes(data), [name for _, name in routes] or ["all"])
    default: list[Named] = []
    if isinstance(pools, dict) and data.get("routes", []) == [] and pool_for_requests(data):
        default = [(("pools",), "all")]
    yield from _repeated("route", [*routes, *default, *_listener_labels(data)])
    yield from _repeated("request class", classes)
    for location, name in classes:
        if name == DEFAULT_CLASS:
            yield location, f"{DEFAULT_CLASS!r} is the name of the requests of no class; choose another"
    yield from _shared_addresses(data)


def _mappings(data: Any, *path: str) -> Iterator[tuple[Location, dict[str, Any]]]:
    """The mappings of the list at `path`, with their locations."""
    for step in path:
        data = data.get(step) if isinstance(data, dict) else None
    for index, entry in enumerate(data if isinstance(data, list) else []):
        if isinstance(entry, dict):
            yield (*path, index), entry


def _texts(data: Any, section: str, key: str) -> Iterator[Named]:
    for location, entry in _mappings(data, section):
        if isinstance(entry.get(key), str):
            yield (*location, key), entry[key]


def _backends(pools: dict[str, Any], pool: str) -> Iterator[Named]:
    """What the backends of a pool are known by: the name, or the address where none is given."""
    settings = pools[pool]
    entries = settings.get("backends") if isinstance(settings, dict) else None
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        location = ("pools", pool, "backends", index)
        if isinstance(entry, str):
            yield location, entry
        elif isinstance(entry, dict):
            for key in ("name", "address"):
                if isinstance(entry.get(key), str):
                    yield (*location, key), entry[key]
                    break


def _without_backends(pools: dict[str, Any], pool: str) -> Iterator[Finding]:
    settings = pools[pool]
    if isinstance(settings, dict) and settings.get("backends", []) == [] and settings.get("discovery") is None:
        location = ("pools", pool, "backends") if "backends" in settings else ("pools", pool)
        yield location, "a pool needs at least 1 backend in `backends`, or `discovery` that finds them"


def _class_routes(data: dict[str, Any]) -> Iterator[Named]:
    for location, entry in _mappings(data, "request_classes"):
        match = entry.get("match")
        if isinstance(match, dict) and isinstance(match.get("route"), str):
            yield (*location, "match", "route"), match["route"]


def _split_pools(data: dict[str, Any]) -> Iterator[Named]:
    for location, entry in _mappings(data, "routes"):
        shares = entry.get("split")
        for name in shares if isinstance(shares, dict) else ():
            if isinstance(name, str):
                yield (*location, "split", name), name


def _mirror_pools(data: dict[str, Any]) -> Iterator[Named]:
    for location, entry in _mappings(data, "routes"):
        mirror = entry.get("mirror")
        if isinstance(mirror, dict) and isinstance(mirror.get("pool"), str):
            yield (*location, "mirror", "pool"), mirror["pool"]


def _unknown(what: str, uses: Iterable[Named], names: Iterable[str]) -> Iterator[Finding]:
    known = set(names)
    for location, name in uses:
        if name not in known:
            yield location, unknown_name(what, name, known)


def _repeated(what: str, named: Iterable[Named]) -> Iterator[Finding]:
    first: dict[str, Location] = {}
    for location, name in named:
        if first.setdefault(name, location) != location:
            yield (
                location,
                f"{what} {name!r} is there twice, first as {spell(first[name])}; names must differ",
            )


def _takes_requests(data: dict[str, Any]) -> bool:
    listeners = data.get("listeners")
    return not isinstance(listeners, list) or not all(
        isinstance(listener, dict) and listener.get("protocol") in ("tcp", "udp") for listener in listeners
    )


def _listener_labels(data: dict[str, Any]) -> Iterator[Named]:
    """What tcp and udp listeners are known by."""
    for location, listener in _mappings(data, "listeners"):
        protocol, name, bind = listener.get("protocol"), listener.get("name"), listener.get("bind")
        if protocol in ("tcp", "udp"):
            if isinstance(name, str):
                yield (*location, "name"), name
            elif isinstance(bind, str):
                yield (*location, "bind"), f"{protocol}://{bind}"


def _of_listeners(data: dict[str, Any], pools: dict[str, Any]) -> Iterator[Finding]:
    """What tcp and udp listeners say that their pools do not allow."""
    for location, listener in _mappings(data, "listeners"):
        sni = listener.get("sni")
        named: list[tuple[Location, Any]] = [((*location, "pool"), listener.get("pool"))]
        named += [((*location, "sni", host), pool) for host, pool in sni.items()] if isinstance(sni, dict) else []
        for where, name in named:
            if not isinstance(name, str):
                continue
            yield from _unknown("pool", [(where, name)], pools)
            pool = pools.get(name)
            if not isinstance(pool, dict):
                continue
            policy = pool.get("policy")
            if (policy.get("name") if isinstance(policy, dict) else policy) == "url_hash":
                yield (
                    where,
                    f"pool {name!r} has the policy url_hash, but {listener.get('protocol')} traffic has no URLs",
                )
            affinity = pool.get("affinity")
            if isinstance(affinity, dict) and affinity.get("kind") in ("cookie", "header", "url"):
                kind, protocol = affinity["kind"], listener.get("protocol")
                yield where, f"pool {name!r} has affinity by {kind}, but {protocol} traffic has none; use source_ip"
            if listener.get("protocol") == "udp" and pool.get("send_proxy_protocol") is not None:
                yield where, f"pool {name!r} has `send_proxy_protocol`, which is for connections, not for udp"
            if listener.get("protocol") == "udp" and pool.get("tls") is not None:
                yield where, f"pool {name!r} has `tls`, which is for connections, not for udp"


def _shared_addresses(data: dict[str, Any]) -> Iterator[Finding]:
    admin = data.get("admin", {})
    bind = admin.get("bind", Admin().bind) if isinstance(admin, dict) else None
    taken: dict[bool, list[Named]] = {False: [(("admin", "bind"), bind)] if isinstance(bind, str) else [], True: []}
    for location, listener in _mappings(data, "listeners"):
        address, place = listener.get("bind"), (*location, "bind")
        if not isinstance(address, str):
            continue
        of_protocol = taken[listener.get("protocol") == "udp"]  # a port of UDP and one of TCP are two
        for other, theirs in of_protocol:
            if _collide(address, theirs):
                yield place, f"{address!r} is taken by {spell(other)}, {theirs!r}; listen on another port"
                break
        of_protocol.append((place, address))


def _collide(one: str, other: str) -> bool:
    host, _, port = one.lower().rpartition(":")
    other_host, _, other_port = other.lower().rpartition(":")
    if not port.lstrip("0") or port.lstrip("0") != other_port.lstrip("0"):
        return False
    return host == other_host or _covers(host, other_host) or _covers(other_host, host)


def _covers(wide: str, narrow: str) -> bool:
    """Whether `wide` stands for every address of the family that `narrow`, an address or a name, is of."""
    return (wide == "[::]" and narrow.startswith("[")) or (wide == "0.0.0.0" and not narrow.startswith("["))

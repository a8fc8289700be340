"""Listeners: HTTP and TCP, behind TLS or PROXY headers where the configuration says so, and UDP."""

import asyncio
import socket
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Protocol

from smartlb.config.model import Listener
from smartlb.downstream.front import Front
from smartlb.downstream.handshake import HandshakeServer
from smartlb.downstream.http1 import ClientConnection
from smartlb.downstream.http2 import begin
from smartlb.downstream.tls import Termination
from smartlb.layer4.tcp import Destination, TcpSession
from smartlb.layer4.udp import UdpListener
from smartlb.tls.protocols import HTTP1, HTTP2
from smartlb.upstream.pool import Pool
from smartlb.wire.forwarding import TrustedNetworks

_BACKLOG: Final = 4096


class Listening(Protocol):
    """A listener at work."""

    def close(self) -> None:
        """Take no more."""


async def listen(
    front: Front,
    pools: Mapping[str, Pool],
    listener: Listener,
    route: int,
    bound: socket.socket,
    *,
    alone: bool,
) -> Listening:
    """Serve what comes to a socket.

    Args:
        front: what all connections share.
        pools: by name.
        listener: of the configuration.
        route: its number, for tcp and udp.
        bound: its socket, which listens already where it is one of TCP.
        alone: whether no other worker serves the same listener.
    """
    if listener.protocol == "udp":
        assert listener.pool is not None
        return UdpListener(front, route, pools[listener.pool], bound, one_way=listener.one_way)
    http = listener.protocol == "http"
    trusted = TrustedNetworks(listener.trusted_proxies)
    termination = None
    if listener.tls is not None:
        termination = Termination(listener.tls, tickets=alone, alpn=_alpn(listener))
    make: Any
    if http:
        begin_http2 = partial(begin, front, listener.http2) if listener.http2.enabled else None
        channel_of = termination.channel if termination else None
        make = partial(ClientConnection, front, trusted, channel_of, begin_http2)
    else:
        default = pools[listener.pool] if listener.pool is not None else None
        destination = Destination(default, {host: pools[pool] for host, pool in listener.sni.items()})
        make = partial(TcpSession, front, route, destination, trusted)
    if termination is not None or listener.proxy_protocol:
        return HandshakeServer(front, make, bound, trusted, termination, proxies=listener.proxy_protocol)
    return await asyncio.get_running_loop().create_server(lambda: make(None), sock=bound, backlog=_BACKLOG)


def _alpn(listener: Listener) -> tuple[str, ...]:
    if listener.protocol != "http":
        return ()
    return (HTTP2, HTTP1) if listener.http2.enabled else (HTTP1,)

"""What connections inherit from the sockets that are listened on."""

import socket
from collections.abc import Sequence

import pytest

from smartlb.control.sockets import Listening, Place, close_all, listen


def accepted(listening: socket.socket) -> socket.socket:
    """A connection from this process."""
    with socket.create_connection(listening.getsockname()):
        return listening.accept()[0]


@pytest.mark.skipif(not hasattr(socket, "TCP_KEEPIDLE"), reason="needs the options of Linux")
@pytest.mark.parametrize("source", ["bound", "inherited", "kept"])
def test_a_client_that_vanishes_is_noticed_within_minutes(source: str) -> None:
    place = Place("127.0.0.1:0")
    before: Sequence[Listening] = ()
    if source == "inherited":  # from a service manager, which does not know of it
        before = [Listening(place, [socket.create_server(("127.0.0.1", 0))])]
    elif source == "kept":
        before = listen([place], workers=1)
    (listening,) = listen([place], workers=1, before=before)
    with accepted(listening.sockets[0]) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        quiet_s, every_s, probes = (
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert 0 < quiet_s + every_s * probes <= 180
    close_all([listening])


def test_every_worker_has_such_a_socket() -> None:
    (listening,) = listen([Place("127.0.0.1:0")], workers=3)
    assert len(listening.sockets) == 3
    assert all(each.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for each in listening.sockets)
    close_all([listening])


def test_udp_is_left_alone() -> None:
    (listening,) = listen([Place("127.0.0.1:0", udp=True)], workers=1)
    assert not listening.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    close_all([listening])

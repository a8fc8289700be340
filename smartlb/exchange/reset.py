"""Breaking a connection off, so that the other end does not take what it got for all there is."""

import asyncio
import socket
import struct
from typing import Final

_AT_ONCE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: on, for no time at all."""


def reset(transport: asyncio.Transport) -> None:
    """Close at once, by RST where it can be."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():  # None as it is once a TLS connection is gone
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()

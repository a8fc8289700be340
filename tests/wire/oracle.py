"""What the next hop makes of a forwarded message: h11, a parser that shares nothing with the router's."""

from dataclasses import dataclass

import h11

Headers = list[tuple[bytes, bytes]]

NEVER_FORWARDED = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade"}


@dataclass(frozen=True, slots=True)
class Read:
    """A message as h11 read it.

    Attributes:
        start: method and target, or the status.
        headers: names in lower case and values, in order.
        content: with its framing taken off.
        complete: whether the end of the message was seen.
        rest: the bytes after that end.
        trailers: like `headers`.
    """

    start: tuple[bytes, bytes] | int
    headers: Headers
    content: bytes
    complete: bool
    rest: bytes
    trailers: Headers

    def values(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


def read_request(data: bytes) -> Read:
    return _read(h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20), data)


def read_response(data: bytes, method: bytes = b"GET", *, closed: bool = False) -> Read:
    """Read the response to a request; `closed` says that the connection ends after `data`."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    return _read(connection, data, closed=closed)


def _read(connection: h11.Connection, data: bytes, *, closed: bool = False) -> Read:
    connection.receive_data(data)
    if closed:
        connection.receive_data(b"")
    first = connection.next_event()
    assert isinstance(first, h11.Request | h11.Response | h11.InformationalResponse), first
    start = (first.method, first.target) if isinstance(first, h11.Request) else first.status_code
    content = b""
    trailers: Headers = []
    complete = isinstance(first, h11.InformationalResponse)
    while not complete:
        event = connection.next_event()
        if isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            complete, trailers = True, list(event.headers)
        else:
            break
    return Read(start, list(first.headers), content, complete, connection.trailing_data[0], trailers)


def assert_sound(head: bytes) -> None:
    """A head is made of lines that end in CRLF, and ends at its only empty line."""
    assert head.endswith(b"\r\n\r\n")
    assert head.find(b"\r\n\r\n") == len(head) - 4
    assert not set(head.replace(b"\r\n", b"")) & set(b"\r\n\0")

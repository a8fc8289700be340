"""Health checks by gRPC's own protocol, grpc.health.v1 (grpc/doc/health-checking.md of the gRPC project)."""

import asyncio
import ssl
from typing import Final

from smartlb import __version__
from smartlb.config.model import HealthCheck
from smartlb.control.raw_check import CheckFailed, connection
from smartlb.http2.session import Hearer, Session, SessionBroken
from smartlb.tls.protocols import HTTP2
from smartlb.tls.reason import reason_of

METHOD: Final = "/grpc.health.v1.Health/Check"

_SERVING: Final = 1
_STATES: Final = {0: "UNKNOWN", _SERVING: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_LONGEST_ANSWER: Final = 1_024
_LONGEST_HEAD: Final = 16_384


async def ask(address: str, check: HealthCheck, tls: ssl.SSLContext | None, server_name: str | None) -> None:
    """Ask a backend whether it serves.

    Args:
        address: HOST:PORT of the backend.
        check: its settings.
        tls: for the connection; None for none.
        server_name: that the backend's certificate must be for, where it is not the address's host.

    Raises:
        CheckFailed: it does not, or gave no answer in time.
    """
    try:
        async with asyncio.timeout(check.timeout_s), connection(address, b"", tls, server_name) as (reader, writer):
            if tls is not None and writer.get_extra_info("ssl_object").selected_alpn_protocol() != HTTP2:
                raise CheckFailed("it does not offer HTTP/2 (ALPN h2)")
            call = _Call(check.host or address, check.service, "http" if tls is None else "https")
            while not call.answered:
                writer.write(call.output())
                data = await reader.read(65_536)
                if not data:
                    raise CheckFailed("closed the connection without an answer")
                call.receive(data)
    except TimeoutError:
        raise CheckFailed(f"no answer to {METHOD} within {check.timeout_s:g} s") from None
    except OSError as error:
        raise CheckFailed(f"{METHOD} failed: {reason_of(error)}") from None
    except SessionBroken as error:
        raise CheckFailed(f"no valid answer of HTTP/2: {error}") from None
    call.judge()


class _Call(Hearer):
    """The one call on a connection.

    Attributes:
        answered: whether the answer is complete.
    """

    def __init__(self, authority: str, service: str, scheme: str) -> None:
        self._session = Session(self, True, 1, _LONGEST_HEAD)
        self.answered = False
        self._headers: dict[bytes, bytes] = {}
        self._answer = b""
        fields = (
            (":method", "POST"),
            (":scheme", scheme),
            (":path", METHOD),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", f"smartlb/{__version__} (health check)"),
        )
        number = self._session.ask([(name.encode(), value.encode()) for name, value in fields], False)
        self._session.send(number, request_message(service), True)

    def output(self) -> bytes:
        """What is to be sent."""
        data = self._session.output()
        self._session.report()
        return data

    def receive(self, data: bytes) -> None:
        """Take in a part of the answer."""
        if data.startswith(b"HTTP/1"):
            raise CheckFailed("it speaks HTTP/1, not HTTP/2")
        self._session.receive(data)
        self._session.report()

    def response(self, _number: int, headers: tuple[tuple[bytes, bytes], ...], _complete: bool) -> None:
        """The head of the answer."""
        self._headers.update(headers)

    def trailers(self, _number: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """What gRPC says of the call."""
        self._headers.update(headers)

    def data(self, _number: int, content: bytes, _last: bool) -> None:
        """The answer itself."""
        self._answer += content
        if len(self._answer) > _LONGEST_ANSWER:
            raise CheckFailed(f"its answer is longer than {_LONGEST_ANSWER} bytes")

    def stream_closed(self, _number: int, code: int) -> None:
        """The end of the call."""
        if code:
            self._refused(code)
        self.answered = True

    def goes_away(self, _last: int, code: int) -> None:
        """The backend takes no calls."""
        self._refused(code)

    def _refused(self, code: int) -> None:
        if not self.answered:
            raise CheckFailed(f"refused the call (HTTP/2 error {code})")

    def over(self, _code: int, _reason: str) -> None:
        """The session took its leave."""
        if not self.answered:
            raise CheckFailed("no valid answer of HTTP/2: what it sent breaks the protocol")

    def judge(self) -> None:
        """Raise `CheckFailed` where the answer is not that it serves."""
        headers = self._headers
        answered, status = (headers.get(name, b"none").decode("latin-1") for name in (b":status", b"grpc-status"))
        if answered != "200":
            raise CheckFailed(f"answered HTTP {answered} to {METHOD}, so it may not speak gRPC")
        if status != "0":
            words = headers.get(b"grpc-message", b"").decode("latin-1")
            raise CheckFailed(f"answered gRPC status {status} to {METHOD} {words}".rstrip())
        state = state_of(self._answer)
        if state != _SERVING:
            raise CheckFailed(f"answered {_STATES.get(state, state)}")


def request_message(service: str) -> bytes:
    """A HealthCheckRequest: its only field, the first, is the service's name, in at most 127 bytes."""
    name = service.encode()
    return _framed(b"\x0a%c%s" % (len(name), name) if name else b"")


def state_of(message: bytes) -> int:
    """The status in a HealthCheckResponse, whose only field, the first, is an enumeration; 0 where it has none."""
    content = message[5:]
    return content[1] if len(content) == 2 and content[0] == 0x08 else 0


def _framed(content: bytes) -> bytes:
    """A message of gRPC, not compressed."""
    return b"\0" + len(content).to_bytes(4, "big") + content

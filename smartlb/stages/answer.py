"""Routes that answer by themselves: redirects and fixed responses."""

import re
from http import HTTPStatus

from smartlb.config.traffic import Redirect, Respond
from smartlb.core.outcome import Outcome
from smartlb.routing.host import host_name
from smartlb.stages.context import Context
from smartlb.stages.stage import Stage
from smartlb.wire.answers import Answer
from smartlb.wire.http1 import HeaderBlock, RequestRefused

_PLACEHOLDER = re.compile(r"\{(host|path|query)\}")
# Clients take //host and /\host for another host's address.
_LEADING_SLASHES = re.compile(rb"\A[/\\]+")


class Redirection(Stage):
    """A redirect of the configuration.

    Attributes:
        status: as sent.
    """

    def __init__(self, settings: Redirect) -> None:
        self.status: int = settings.status
        # Text and names of placeholders in turn.
        self._parts = [part.encode() for part in _PLACEHOLDER.split(settings.to)]

    def request(self, context: Context) -> Answer:
        """Send the client elsewhere.

        Raises:
            RequestRefused: there is no host to name.
        """
        head = self.head(context.request.target, context.block)
        if head is None:
            raise RequestRefused(Outcome.BAD_REQUEST, "the Host header is missing, and the redirect needs it")
        return Answer(self.status, head)

    def head(self, target: bytes, block: HeaderBlock) -> bytes | None:
        """The response's head without the final empty line; None where there is no host to name.

        Nothing of a request can break out of the Location header: targets and hosts have neither spaces nor controls.
        """
        path, mark, query = target.partition(b"?")
        values = {
            b"host": host_name(block.host),
            b"path": _LEADING_SLASHES.sub(b"/", path) if path[:1] == b"/" else b"/",
            b"query": mark + query,
        }
        if b"host" in self._parts[1::2] and not values[b"host"]:
            return None
        parts = [values[part] if at % 2 else part for at, part in enumerate(self._parts)]
        location = b"location: " + b"".join(parts) + b"\r\n"
        return _status_line(self.status) + location + b"content-length: 0\r\n"


class FixedResponse(Stage):
    """A response of the configuration.

    Attributes:
        status: as sent.
        body: the response's.
    """

    def __init__(self, settings: Respond) -> None:
        self.status = settings.status
        self.body = settings.body.encode()
        lines = [b"%s: %s\r\n" % (name.encode(), value.encode("latin-1")) for name, value in settings.headers.items()]
        if self.body and "content-type" not in settings.headers:
            lines.append(b"content-type: text/plain; charset=utf-8\r\n")
        if self.status not in (204, 304):  # RFC 9110 section 8.6
            lines.append(b"content-length: %d\r\n" % len(self.body))
        self._answer = Answer(self.status, _status_line(self.status) + b"".join(lines), self.body)

    def request(self, _context: Context) -> Answer:
        """Answer."""
        return self._answer


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return b"HTTP/1.1 %d %s\r\n" % (status, phrase.encode())

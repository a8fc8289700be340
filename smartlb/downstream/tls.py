"""TLS with clients: the handshake, which certificate is shown to whom, and what backends hear of a client's own.

TLS itself is OpenSSL's, by way of `ssl` and uvloop.
"""

import asyncio
import hashlib
import logging
import ssl
import sys
from collections.abc import Sequence
from typing import Final

from smartlb.config.model import ListenerTls
from smartlb.tls.certificate import subject
from smartlb.tls.identity import Identity, listener_context, reloading_identity
from smartlb.tls.protocols import HTTP2
from smartlb.wire.forwarding import Channel

log = logging.getLogger(__name__)

_REPORT_S: Final = 60.0
"""Failed handshakes are logged at most this often: the internet is full of scanners."""


class Termination:
    """The router's end of TLS at one listener.

    A client's connection begins with a context that has no certificate; as soon as the client has said which name it
    wants (RFC 6066 section 3), the context of the certificate for that name takes its place.

    Args:
        settings: the listener's.
        tickets: whether clients may resume sessions.
        alpn: what is spoken over it, the preferred first; empty where that is not the router's to choose.
    """

    def __init__(self, settings: ListenerTls, *, tickets: bool, alpn: Sequence[str]) -> None:
        self._settings = settings
        self._tickets = tickets
        self._alpn = alpn
        self._certificates = [
            reloading_identity(settings, files, tickets=tickets, alpn=self._alpn) for files in settings.certificates
        ]
        self._by_name: dict[str, ssl.SSLContext] = {}
        self._default: ssl.SSLContext | None = None
        self._front = self._new_front()
        self._look_at_s = float("-inf")
        self._failed_unsaid = 0
        self._report_at_s = 0.0

    def _new_front(self) -> ssl.SSLContext:
        front = listener_context(self._settings, tickets=self._tickets, alpn=self._alpn)
        front.sni_callback = self._choose
        return front

    def context(self, now_s: float) -> ssl.SSLContext:
        """What a new connection begins with; looks at the files if it is time to."""
        if now_s < self._look_at_s:
            return self._front
        self._look_at_s = now_s + self._settings.reload_s
        renewed = [certificate.refresh(now_s) for certificate in self._certificates]
        if any(renewed):
            # A new one, so that no session is resumed that was begun under other certificates or authorities.
            self._front = self._new_front()
            identities = [certificate.value for certificate in self._certificates if certificate.value is not None]
            self._default = identities[0].context
            self._by_name = _by_name(identities)
        return self._front

    def _choose(self, connection: ssl.SSLObject, name: str | None, _front: ssl.SSLContext) -> int | None:
        context = self._default
        if name is not None:
            by_name, name = self._by_name, name.lower()
            context = by_name.get(name) or by_name.get("*." + name.partition(".")[2]) or context
        if context is None:
            # Since this worker's start no certificate could be loaded, which the log says.
            return ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR
        connection.context = context
        return None

    def channel(self, transport: asyncio.BaseTransport) -> Channel:
        """What backends hear of a client's connection, once TLS stands."""
        connection = transport.get_extra_info("ssl_object")
        asks = self._settings.client_certificate != "none"
        http2 = connection.selected_alpn_protocol() == HTTP2
        return Channel(b"https", certificate_headers(connection) if asks else (), http2)

    def report_failed(self, client: str, reason: str, now_s: float) -> None:
        """Log a failed handshake, or count it for the next line."""
        log.debug("TLS handshake with %s failed: %s", client, reason)
        self._failed_unsaid += 1
        if now_s >= self._report_at_s:
            log.info("TLS handshakes failed: %d, the last with %s: %s", self._failed_unsaid, client, reason)
            self._report_at_s = now_s + _REPORT_S
            self._failed_unsaid = 0


def ignore_unreadable_names(unraisable: "sys.UnraisableHookArgs") -> None:
    """A `sys.unraisablehook` that says nothing of server names which are no ASCII.

    Python reports each with a traceback, before it asks for a certificate; the handshake fails, and is counted.
    """
    if not isinstance(unraisable.exc_value, UnicodeDecodeError) or not isinstance(unraisable.object, bytes):
        sys.__unraisablehook__(unraisable)


def _by_name(identities: Sequence[Identity]) -> dict[str, ssl.SSLContext]:
    """The context for each name, ``*.`` names included; where several have a name, the first."""
    found: dict[str, ssl.SSLContext] = {}
    for identity in identities:
        for name in identity.certificate.names:
            found.setdefault(name, identity.context)
    return found


# Client certificates


def certificate_headers(connection: ssl.SSLObject) -> tuple[bytes, ...]:
    """The header lines that tell backends of a client's certificate, which OpenSSL has verified.

    The names go by nginx's ``$ssl_client_verify`` and ``$ssl_client_s_dn``; the fingerprint is that of Envoy's
    ``x-forwarded-client-cert``, the SHA-256 of the certificate in DER as hexadecimal digits.
    """
    encoded = connection.getpeercert(binary_form=True)
    if not encoded:
        return (b"x-client-cert-verify: NONE",)
    fields = [b"x-client-cert-verify: SUCCESS"]
    name = subject(encoded)
    if name is not None:
        fields.append(b"x-client-cert-subject: " + name.encode("ascii"))
    fields.append(b"x-client-cert-fingerprint: " + hashlib.sha256(encoded).hexdigest().encode())
    return tuple(fields)

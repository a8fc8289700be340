"""A listener's certificates, each with the context that shows it."""

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass

from smartlb.config.model import CertificateFiles, ListenerTls
from smartlb.tls.certificate import Certificate, read
from smartlb.tls.files import CertificateError, load_authorities, load_chain
from smartlb.tls.protocols import ALPN, VERSIONS
from smartlb.tls.reloading import Reloading

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key, ready to be shown.

    Attributes:
        files: where they are from.
        context: shows them.
        certificate: what it says of itself.
    """

    files: CertificateFiles
    context: ssl.SSLContext
    certificate: Certificate


def listener_context(settings: ListenerTls, *, tickets: bool, alpn: Sequence[str] = ALPN) -> ssl.SSLContext:
    """A context for one end of TLS with clients, without a certificate and without trust in anyone.

    Args:
        settings: the listener's.
        tickets: whether clients may resume sessions. The tickets' key is the context's own, and Python has no way to
            share it: the tickets of one worker are worth nothing to another.
        alpn: protocols that clients may choose from.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = VERSIONS[settings.min_version]
    context.set_ciphers(settings.ciphers)
    # A client that renegotiates makes the router work for nothing (CVE-2011-1473).
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(alpn)
    context.verify_mode = {
        "none": ssl.CERT_NONE,
        "optional": ssl.CERT_OPTIONAL,
        "required": ssl.CERT_REQUIRED,
    }[settings.client_certificate]
    if not tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def reloading_identity(
    settings: ListenerTls, files: CertificateFiles, *, tickets: bool, alpn: Sequence[str] = ALPN
) -> Reloading[Identity]:
    """One of a listener's certificates; an expired one does not replace one that is valid."""

    def make() -> Identity:
        identity = load_identity(settings, files, tickets=tickets, alpn=alpn)
        if identity.certificate.expired:
            message = identity.certificate.expiry(files.certificate)
            if found.value is not None and not found.value.certificate.expired:
                raise CertificateError(message)
            log.error("%s", message)
        return identity

    paths = [files.certificate, files.key, *([settings.client_ca] if settings.client_ca else [])]
    found = Reloading(paths, make, settings.reload_s)
    return found


def load_identity(
    settings: ListenerTls, files: CertificateFiles, *, tickets: bool, alpn: Sequence[str] = ALPN
) -> Identity:
    """One of a listener's certificates, with a context that shows it.

    Raises:
        CertificateError: a file cannot be used.
    """
    context = listener_context(settings, tickets=tickets, alpn=alpn)
    load_chain(context, files)
    if settings.client_ca is not None:
        load_authorities(context, settings.client_ca)
    return Identity(files, context, read(files.certificate, "server"))

"""Contexts for TLS with backends."""

import ssl

from smartlb.config.model import BackendTls, CertificateFiles
from smartlb.tls.files import load_authorities, load_chain
from smartlb.tls.protocols import ALPN, HTTP2, VERSIONS
from smartlb.tls.reloading import Reloading


def backend_context(settings: BackendTls, *, http2: bool = False) -> ssl.SSLContext:
    """A context for connections to a pool's backends.

    Args:
        settings: of the pool.
        http2: whether that is spoken with them.

    Raises:
        CertificateError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = VERSIONS[settings.min_version]
    context.set_alpn_protocols((HTTP2,) if http2 else ALPN)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca is not None:
        load_authorities(context, settings.ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.certificate is not None and settings.key is not None:
        load_chain(context, CertificateFiles(certificate=settings.certificate, key=settings.key))
    return context


def reloading_backend_context(settings: BackendTls, *, http2: bool = False) -> Reloading[ssl.SSLContext]:
    """The context for a pool's backends; the system's authorities are read once."""
    paths = [path for path in (settings.ca, settings.certificate, settings.key) if path is not None]
    return Reloading(paths, lambda: backend_context(settings, http2=http2), settings.reload_s)

"""TLS contexts from the files that a configuration names, made again when the files change.

Certificates are read by OpenSSL alone. What one says of itself is seen as a peer would see it, in a handshake in
memory.
"""

import logging
import os
import re
import ssl
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, Final, Generic, NamedTuple, TypeVar

from smartlb.config.model import BackendTls, CertificateFiles, Config, ListenerTls
from smartlb.config.problems import Location

log = logging.getLogger(__name__)

T = TypeVar("T")

HTTP1: Final = "http/1.1"

HTTP2: Final = "h2"

ALPN: Final = (HTTP1,)
"""Protocols that are spoken over TLS, the preferred one first (RFC 7301)."""

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")

_NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL's x509_vfy.h, which Python has no name for."""

_HANDSHAKE_ROUNDS = 8
"""More than any handshake takes."""


class CertificateError(Exception):
    """Files that cannot be used; the message says which, why, and what to do."""


class _PasswordWanted(Exception):
    """OpenSSL asked for the password of a key."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate with its key, ready to be shown.

    Attributes:
        files: where they are from.
        context: shows them.
        names: that the certificate is for, in lower case; a first label may be ``*``.
        not_after_s: when it expires, in seconds since 1970.
    """

    files: CertificateFiles
    context: ssl.SSLContext
    names: tuple[str, ...]
    not_after_s: float

    @property
    def expired(self) -> bool:
        """Whether clients will refuse it."""
        return self.not_after_s < time()


class Finding(NamedTuple):
    """Something wrong with a file that the configuration names.

    Attributes:
        location: of the section that names it.
        message: which file, why, and what to do.
        level: WARNING for what is unsafe, ERROR for what peers will refuse, CRITICAL for what cannot be used at all.
    """

    location: Location
    message: str
    level: int


class Reloading(Generic[T]):
    """A value made from files, and made again once one of them has changed.

    Args:
        paths: of the files.
        make: makes the value, or raises `CertificateError`.
        interval_s: time between two looks at the files.

    Attributes:
        value: as it was made last; None before the files could be used for the first time.
    """

    def __init__(self, paths: Sequence[str], make: Callable[[], T], interval_s: float) -> None:
        self.value: T | None = None
        self._paths = paths
        self._make = make
        self._interval_s = interval_s
        self._look_at_s = float("-inf")
        self._seen: list[tuple[int, ...] | None] | None = None
        self._trouble = ""

    def refresh(self, now_s: float) -> bool:
        """Look at the files if it is time to; returns whether the value is a new one.

        Files that cannot be used leave the value as it is. They are reported once, and tried again at each look: what
        was wrong may not be in the files.
        """
        if now_s < self._look_at_s:
            return False
        self._look_at_s = now_s + self._interval_s
        # Seen before they are read: a change in between is found at the next look.
        seen = [_seen(path) for path in self._paths]
        if seen == self._seen:
            return False
        again = self.value is not None
        self._seen = seen
        try:
            self.value = self._make()
        except (CertificateError, OSError) as error:  # OSError: a file that vanishes while it is read
            self._seen = None
            if str(error) != self._trouble:
                log.error("%s%s", error, "; what was loaded before stays in use" if again else "")
            self._trouble = str(error)
            return False
        self._trouble = ""
        if again:
            log.info("reloaded %s", ", ".join(self._paths))
        return True


def _seen(path: str) -> tuple[int, ...] | None:
    """What changes when a file or the permission to read it does; links are followed."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


# Listeners


def listener_context(settings: ListenerTls, *, tickets: bool, alpn: Sequence[str] = ALPN) -> ssl.SSLContext:
    """A context for one end of TLS with clients, without a certificate and without trust in anyone.

    Args:
        settings: the listener's.
        tickets: whether clients may resume sessions. The tickets' key is the context's own, and Python has no way to
            share it: the tickets of one worker are worth nothing to another.
        alpn: protocols that clients may choose from.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
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
        if identity.expired:
            message = _expired(files.certificate, identity.not_after_s)
            if found.value is not None and not found.value.expired:
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
    _load_chain(context, files)
    if settings.client_ca is not None:
        _load_authorities(context, settings.client_ca)
    shown = _shown(files, by_server=True)
    return Identity(files, context, _host_names(shown), ssl.cert_time_to_seconds(shown["notAfter"]))


def _host_names(shown: dict[str, Any]) -> tuple[str, ...]:
    names = [name for kind, name in shown.get("subjectAltName", ()) if kind == "DNS"]
    if "subjectAltName" not in shown:
        # Clients of today look at the alternative names only (RFC 9525), but those of such a certificate may not.
        names = [value for parts in shown["subject"] for key, value in parts if key == "commonName"]
    return tuple(name.lower() for name in names)


# Backends


def backend_context(settings: BackendTls, *, http2: bool = False) -> ssl.SSLContext:
    """A context for connections to a pool's backends.

    Args:
        settings: of the pool.
        http2: whether that is spoken with them.

    Raises:
        CertificateError: a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.set_alpn_protocols((HTTP2,) if http2 else ALPN)
    if not settings.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.ca is not None:
        _load_authorities(context, settings.ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if settings.certificate is not None and settings.key is not None:
        _load_chain(context, CertificateFiles(certificate=settings.certificate, key=settings.key))
    return context


def reloading_backend_context(settings: BackendTls, *, http2: bool = False) -> Reloading[ssl.SSLContext]:
    """The context for a pool's backends; the system's authorities are read once."""
    paths = [path for path in (settings.ca, settings.certificate, settings.key) if path is not None]
    return Reloading(paths, lambda: backend_context(settings, http2=http2), settings.reload_s)


def reason_of(error: OSError) -> str:
    """Why a connection or its TLS handshake failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"the TLS handshake failed: {error.reason.replace('_', ' ').lower()}"
    return error.strerror or str(error) or "the connection was closed in the TLS handshake"


# What `smartlb check` and the start of the router look at


def findings(config: Config) -> Iterator[Finding]:
    """What is wrong with the files of certificates, keys and authorities that a configuration names."""
    for number, listener in enumerate(config.listeners):
        if listener.tls is not None:
            for place, files in enumerate(listener.tls.certificates):
                location: Location = ("listeners", number, "tls", "certificates", place)
                yield from _about_identity(location, listener.tls, files)
    for name, pool in config.pools.items():
        if pool.tls is not None:
            yield from _about_backends(("pools", name, "tls"), pool.tls)


def _about_identity(location: Location, settings: ListenerTls, files: CertificateFiles) -> Iterator[Finding]:
    try:
        identity = load_identity(settings, files, tickets=False)
    except CertificateError as error:
        yield Finding(location, str(error), logging.CRITICAL)
        return
    if identity.expired:
        yield Finding(location, _expired(files.certificate, identity.not_after_s), logging.ERROR)
    if len(settings.certificates) > 1 and location[-1] and not identity.names:
        yield Finding(location, f"{files.certificate} is for no host name, so it is never chosen", logging.WARNING)
    yield from _about_key(location, files.key)


def _about_backends(location: Location, settings: BackendTls) -> Iterator[Finding]:
    try:
        backend_context(settings)
        if settings.certificate is not None and settings.key is not None:
            shown = _shown(CertificateFiles(certificate=settings.certificate, key=settings.key), by_server=False)
            not_after_s = ssl.cert_time_to_seconds(shown["notAfter"])
            if not_after_s < time():
                yield Finding(location, _expired(settings.certificate, not_after_s), logging.ERROR)
            yield from _about_key(location, settings.key)
    except CertificateError as error:
        yield Finding(location, str(error), logging.CRITICAL)


def _about_key(location: Location, path: str) -> Iterator[Finding]:
    if Path(path).stat().st_mode & stat.S_IROTH:
        yield Finding(location, f"every user of this machine can read the key {path}: chmod o-r", logging.WARNING)


def _expired(path: str, not_after_s: float) -> str:
    days = (time() - not_after_s) / 86_400
    return f"the certificate {path} expired {days:.1f} days ago: renew it"


# Files


def _load_chain(context: ssl.SSLContext, files: CertificateFiles) -> None:
    certificate, key = files.certificate, files.key
    if b"-----BEGIN CERTIFICATE-----" not in _contents(certificate, "certificate"):
        raise CertificateError(f"{certificate} holds no certificate in PEM format")
    if _PRIVATE_KEY.search(_contents(key, "key")) is None:
        raise CertificateError(f"{key} holds no private key in PEM format")
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except _PasswordWanted:
        raise CertificateError(
            f"the key {key} has a password, which nobody is there to enter: remove it with `openssl pkey`, and "
            "protect the file by its permissions"
        ) from None
    except ssl.SSLError as error:
        if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
            raise CertificateError(
                f"the key {key} is not that of the certificate {certificate}, which must come first in its file"
            ) from None
        raise CertificateError(f"{certificate} with the key {key} cannot be used: {_words(error)}") from None


def _load_authorities(context: ssl.SSLContext, path: str) -> None:
    if b"-----BEGIN " not in _contents(path, "file of authorities"):
        raise CertificateError(f"{path} holds no certificate in PEM format")
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise CertificateError(f"the authorities in {path} cannot be used: {_words(error)}") from None


def _contents(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        hint = f" by user {os.geteuid()}" if isinstance(error, PermissionError) else ""
        raise CertificateError(f"the {what} {path} cannot be read{hint}: {error.strerror}") from None


def _refuse_password() -> str:
    raise _PasswordWanted


def _words(error: ssl.SSLError) -> str:
    # Python has no reason for what it finds damaged in a PEM file, only its own source's line.
    return error.reason.replace("_", " ").lower() if error.reason else "what is between BEGIN and END is damaged"


def _shown(files: CertificateFiles, *, by_server: bool) -> dict[str, Any]:
    """What a certificate says of itself, as `ssl.SSLSocket.getpeercert` gives it to a peer that trusts it.

    Raises:
        CertificateError: no peer could take it: it is for another purpose, say.
    """
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for context in (server, client):
        _load_chain(context, files)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    peer = client if by_server else server
    peer.verify_mode = ssl.CERT_REQUIRED
    peer.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN | ssl.VerifyFlags(_NO_CHECK_TIME)
    peer.load_verify_locations(cafile=files.certificate)

    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = {
        server: server.wrap_bio(to_server, to_client, server_side=True),
        client: client.wrap_bio(to_client, to_server),
    }
    for _ in range(_HANDSHAKE_ROUNDS):
        for end in ends.values():
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                role = "server" if by_server else "client"
                raise CertificateError(
                    f"{files.certificate} cannot be used as the certificate of a {role}: {reason_of(error)}"
                ) from None
    return ends[peer].getpeercert() or {}

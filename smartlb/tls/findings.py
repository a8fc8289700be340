"""What is wrong with the files that a configuration names: `smartlb check` and the start of the router say it."""

import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from smartlb.config.document import Document
from smartlb.config.load import read
from smartlb.config.model import BackendTls, CertificateFiles, Config, ListenerTls
from smartlb.config.problems import ConfigError, Location, Problem, spell
from smartlb.tls.backends import backend_context
from smartlb.tls.certificate import read as read_certificate
from smartlb.tls.files import CertificateError
from smartlb.tls.identity import load_identity


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
    if identity.certificate.expired:
        yield Finding(location, identity.certificate.expiry(files.certificate), logging.ERROR)
    if len(settings.certificates) > 1 and location[-1] and not identity.certificate.names:
        yield Finding(location, f"{files.certificate} is for no host name, so it is never chosen", logging.WARNING)
    yield from _about_key(location, files.key)


def _about_backends(location: Location, settings: BackendTls) -> Iterator[Finding]:
    try:
        backend_context(settings)
        if settings.certificate is not None and settings.key is not None:
            certificate = read_certificate(settings.certificate, "client")
            if certificate.expired:
                yield Finding(location, certificate.expiry(settings.certificate), logging.ERROR)
            yield from _about_key(location, settings.key)
    except CertificateError as error:
        yield Finding(location, str(error), logging.CRITICAL)


def _about_key(location: Location, path: str) -> Iterator[Finding]:
    if Path(path).stat().st_mode & stat.S_IROTH:
        yield Finding(location, f"every user of this machine can read the key {path}: chmod o-r", logging.WARNING)


class Remark(NamedTuple):
    """Something to say about a file that a configuration names.

    Attributes:
        level: CRITICAL where the router cannot be run with it, ERROR where it can but should not.
        text: begins with the place in the configuration.
    """

    level: int
    text: str


def about_files(path: str, config: Config) -> Iterator[Remark]:
    """What is wrong with the files that a configuration names.

    Args:
        path: of the configuration, for the line of each name.
        config: as it was loaded from there.
    """
    document = None
    for location, message, level in findings(config):
        document = document or Document(read(path), path)
        message = message if level >= logging.ERROR else f"warning: {message}"
        problem = Problem(spell(location), message, *document.position(location))
        yield Remark(level, str(ConfigError(path, [problem])))

"""Certificates, keys and authorities in PEM files, as OpenSSL takes them."""

import os
import re
import ssl
from pathlib import Path

from smartlb.config.model import CertificateFiles

_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


class CertificateError(Exception):
    """Files that cannot be used; the message says which, why, and what to do."""


class _PasswordWanted(Exception):
    """OpenSSL asked for the password of a key."""


def load_chain(context: ssl.SSLContext, files: CertificateFiles) -> None:
    """Have a context show a certificate.

    Raises:
        CertificateError: the files cannot be used.
    """
    certificate, key = files.certificate, files.key
    if b"-----BEGIN CERTIFICATE-----" not in contents(certificate, "certificate"):
        raise CertificateError(f"{certificate} holds no certificate in PEM format")
    if _PRIVATE_KEY.search(contents(key, "key")) is None:
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


def load_authorities(context: ssl.SSLContext, path: str) -> None:
    """Have a context trust the authorities in a file.

    Raises:
        CertificateError: the file cannot be used.
    """
    if b"-----BEGIN " not in contents(path, "file of authorities"):
        raise CertificateError(f"{path} holds no certificate in PEM format")
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise CertificateError(f"the authorities in {path} cannot be used: {_words(error)}") from None


def contents(path: str, what: str) -> bytes:
    """A file's contents; `what` is what it is to hold.

    Raises:
        CertificateError: it cannot be read.
    """
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

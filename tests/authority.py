"""Certificates for tests, made as they are needed."""

import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trustme

Files = dict[str, str]


class Authority:
    """A certificate authority of a test's own.

    Attributes:
        path: PEM file with its certificate.
    """

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self.path = str(directory / f"{name}.pem")
        self._ca.cert_pem.write_to_path(self.path)

    def issue(self, name: str, *hosts: str, **about: Any) -> Files:
        """Write a certificate for hosts and its key to files of a name, in place of what they held."""
        issued = self._ca.issue_cert(*hosts, **about)
        certificate, key = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        key.touch(0o600)
        key.write_bytes(issued.private_key_pem.bytes())
        return {"certificate": str(certificate), "key": str(key)}

    def issue_expired(self, name: str, *hosts: str) -> Files:
        """The same, but nobody should accept it any more."""
        return self.issue(
            name, *hosts, not_before=datetime(2020, 1, 1, tzinfo=UTC), not_after=datetime(2021, 1, 1, tzinfo=UTC)
        )

    def client(self, own: Files | None = None) -> ssl.SSLContext:
        """A client that trusts this authority, and shows a certificate of its own."""
        context = ssl.create_default_context(cafile=self.path)
        if own is not None:
            context.load_cert_chain(own["certificate"], own["key"])
        return context

    def server(self, own: Files, *, asks: bool = False) -> ssl.SSLContext:
        """A server that shows a certificate, and asks its clients for one of this authority."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.path)
        context.load_cert_chain(own["certificate"], own["key"])
        context.verify_mode = ssl.CERT_REQUIRED if asks else ssl.CERT_NONE
        return context

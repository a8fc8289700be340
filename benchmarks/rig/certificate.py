"""A certificate for loopback, of an authority that exists for one run."""

from pathlib import Path

import trustme


def issue(folder: Path) -> tuple[Path, Path, Path]:
    """Write certificate, key and the authority's certificate into `folder`; returns their paths."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    certificate, key, ca = folder / "site.pem", folder / "site.key", folder / "authority.pem"
    certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    key.touch(0o600)
    key.write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(ca))
    return certificate, key, ca

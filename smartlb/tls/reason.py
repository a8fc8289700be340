"""Why a connection failed, in words."""

import os
import ssl


def reason_of(error: OSError) -> str:
    """Why a connection or its TLS handshake failed, in words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return f"the TLS handshake failed: {error.reason.replace('_', ' ').lower()}"
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)  # what uvloop says in its place names addresses
    return error.strerror or str(error) or "the connection was closed in the TLS handshake"

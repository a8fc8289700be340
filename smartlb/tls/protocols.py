"""Versions of TLS, and what is spoken over it."""

import ssl
from typing import Final

HTTP1: Final = "http/1.1"

HTTP2: Final = "h2"

ALPN: Final = (HTTP1,)
"""Protocols that are spoken over TLS, the preferred one first (RFC 7301)."""

VERSIONS: Final = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
"""By the names that a configuration has for them."""

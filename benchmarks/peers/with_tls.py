"""Each proxy as the end of TLS, with the same certificate; no sessions are resumed, so that each handshake is whole."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from benchmarks.peers import envoy, haproxy, nginx, smartlb
from benchmarks.peers.peer import Peer, Site, replaced

_CONTEXT = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


@dataclass(frozen=True, slots=True)
class Tls:
    """What clients meet.

    Attributes:
        certificate, key: files in PEM.
        http2: whether clients may choose HTTP/2.
    """

    certificate: Path
    key: Path
    http2: bool = False


def _nginx(tls: Tls, site: Site) -> dict[str, str]:
    listen = f"listen {site.address} backlog=4096;"
    how = f"""listen {site.address} ssl{" http2" if tls.http2 else ""} backlog=4096;
    ssl_certificate {tls.certificate};
    ssl_certificate_key {tls.key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache off;
    ssl_session_tickets off;"""
    return {"nginx.conf": replaced(nginx.config(site), listen, how)}


def _haproxy(tls: Tls, site: Site) -> dict[str, str]:
    bind = f"bind {site.address}"
    how = f"ssl crt {site.folder}/both.pem no-tls-tickets ssl-min-ver TLSv1.2{' alpn h2' if tls.http2 else ''}"
    text = replaced(haproxy.config(site), bind, f"{bind} {how}")
    text = replaced(text, "global\n", "global\n  tune.ssl.cachesize 0\n")
    return {"haproxy.cfg": text, "both.pem": tls.certificate.read_text() + tls.key.read_text()}


def _envoy(tls: Tls, site: Site) -> dict[str, str]:
    config = json.loads(envoy.config(site))
    pair = {"certificate_chain": {"filename": str(tls.certificate)}, "private_key": {"filename": str(tls.key)}}
    context = {
        "@type": _CONTEXT,
        "common_tls_context": {
            "tls_certificates": [pair],
            "alpn_protocols": ["h2"] if tls.http2 else ["http/1.1"],
        },
        "disable_stateless_session_resumption": True,
        "disable_stateful_session_resumption": True,
    }
    socket = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    config["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"] = socket
    return {"envoy.json": json.dumps(config, indent=2)}


def _smartlb(tls: Tls, site: Site) -> dict[str, str]:
    config = json.loads(smartlb.config(site))
    pair = {"certificate": str(tls.certificate), "key": str(tls.key)}
    config["listeners"][0]["tls"] = {"certificates": [pair]}
    return {"smartlb.yaml": json.dumps(config, indent=2)}


_FILES: list[tuple[Peer, Callable[[Tls, Site], dict[str, str]]]] = [
    (nginx.PEER, _nginx),
    (haproxy.PEER, _haproxy),
    (envoy.PEER, _envoy),
    (smartlb.PEER, _smartlb),
]


def peers(tls: Tls) -> dict[str, Peer]:
    """The contenders by their names."""
    return {peer.name: replace(peer, files=partial(files, tls)) for peer, files in _FILES}

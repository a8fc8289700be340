import json
from pathlib import Path

from benchmarks.peers.peer import Site
from benchmarks.tcp import PEERS
from smartlb.config.load import parse


def test_both_forward_bytes_to_every_backend(tmp_path: Path) -> None:
    site = Site(tmp_path, "127.0.0.1:18000", ("127.0.0.1:18001", "127.0.0.1:18002"))
    haproxy = PEERS["haproxy"].files(site)["haproxy.cfg"]
    assert "mode tcp" in haproxy
    assert all(backend in haproxy for backend in site.backends)
    text = PEERS["smartlb"].files(site)["smartlb.yaml"]
    config = parse(text, "smartlb.yaml")
    assert json.loads(text)["workers"] == 1
    assert [listener.protocol for listener in config.listeners] == ["tcp"]
    assert [backend.address for backend in config.pools["backends"].backends] == list(site.backends)

from pathlib import Path

import pytest

from benchmarks.peers.peer import Site
from benchmarks.rig import certificate
from benchmarks.rig.processes import BenchmarkError
from benchmarks.tls import parse_s_time, peers
from smartlb.config.load import parse


def test_all_have_the_same_certificate_and_resume_no_sessions(tmp_path: Path) -> None:
    cert, key, _ = certificate.issue(tmp_path)
    contenders = peers(cert, key)
    site = Site(tmp_path, "127.0.0.1:18000", ("127.0.0.1:18001",))
    assert set(contenders) == {"nginx", "haproxy", "smartlb"}
    config = parse(contenders["smartlb"].files(site)["smartlb.yaml"], "smartlb.yaml")
    assert config.listeners[0].tls is not None
    assert config.listeners[0].tls.certificates[0].certificate == str(cert)
    text = contenders["nginx"].files(site)["nginx.conf"]
    assert f"ssl_certificate {cert};" in text
    assert "ssl_session_tickets off" in text
    files = contenders["haproxy"].files(site)
    assert files["both.pem"] == cert.read_text() + key.read_text()
    assert "no-tls-tickets" in files["haproxy.cfg"]


def test_the_count_of_openssl_is_read() -> None:
    said = "\n\n843 connections in 0.53s; 1590.57 connections/user sec\n843 connections in 3 real seconds, 0 bytes\n"
    assert parse_s_time(said) == (843, 3.0)
    with pytest.raises(BenchmarkError, match="made no connection"):
        parse_s_time("connect: Connection refused")

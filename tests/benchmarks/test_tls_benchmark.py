import json
from pathlib import Path

import pytest

from benchmarks.peers.peer import Site, replaced
from benchmarks.peers.with_tls import Tls, peers
from benchmarks.rig import certificate
from benchmarks.rig.processes import BenchmarkError
from benchmarks.tls import parse_s_time
from smartlb.config.load import parse


@pytest.mark.parametrize("http2", [False, True])
def test_all_have_the_same_certificate_and_resume_no_sessions(tmp_path: Path, http2: bool) -> None:
    cert, key, _ = certificate.issue(tmp_path)
    contenders = peers(Tls(cert, key, http2))
    site = Site(tmp_path, "127.0.0.1:18000", ("127.0.0.1:18001",))
    assert set(contenders) == {"nginx", "haproxy", "envoy", "smartlb"}
    config = parse(contenders["smartlb"].files(site)["smartlb.yaml"], "smartlb.yaml")
    assert config.listeners[0].tls is not None
    assert config.listeners[0].tls.certificates[0].certificate == str(cert)
    text = contenders["nginx"].files(site)["nginx.conf"]
    assert f"ssl_certificate {cert};" in text
    assert "ssl_session_tickets off" in text
    files = contenders["haproxy"].files(site)
    assert files["both.pem"] == cert.read_text() + key.read_text()
    assert "no-tls-tickets" in files["haproxy.cfg"]
    assert ("ssl http2 backlog" in text, "alpn h2" in files["haproxy.cfg"]) == (http2, http2)
    envoys = json.loads(contenders["envoy"].files(site)["envoy.json"])
    context = envoys["static_resources"]["listeners"][0]["filter_chains"][0]["transport_socket"]["typed_config"]
    assert context["common_tls_context"]["alpn_protocols"] == ["h2" if http2 else "http/1.1"]
    assert context["common_tls_context"]["tls_certificates"][0]["certificate_chain"]["filename"] == str(cert)
    assert context["disable_stateless_session_resumption"]


def test_a_configuration_that_has_changed_is_not_measured_without_tls() -> None:
    with pytest.raises(ValueError, match="'listen' 2 times, expected once"):
        replaced("listen listen", "listen", "listen ssl")


def test_the_count_of_openssl_is_read() -> None:
    said = "\n\n843 connections in 0.53s; 1590.57 connections/user sec\n843 connections in 3 real seconds, 0 bytes\n"
    assert parse_s_time(said) == (843, 3.0)
    with pytest.raises(BenchmarkError, match="made no connection"):
        parse_s_time("connect: Connection refused")

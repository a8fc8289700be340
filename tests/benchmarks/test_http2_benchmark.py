from pathlib import Path

import pytest

from benchmarks.http2 import WITHOUT_TLS, Round, goals, parse_h2load, report
from benchmarks.peers.peer import Site
from benchmarks.rig.processes import BenchmarkError

SAID = """finished in 4.00s, 14076.25 req/s, 797.73KB/s
requests: 56305 total, 56305 started, 56305 done, 56305 succeeded, {failed} failed, 0 errored, 0 timeout
"""


def test_what_h2load_says_is_read() -> None:
    assert parse_h2load(SAID.format(failed=0)) == (14076.25, 56305)
    with pytest.raises(BenchmarkError, match="7 requests failed"):
        parse_h2load(SAID.format(failed=7))
    with pytest.raises(BenchmarkError, match="no request"):
        parse_h2load("could not connect")


def test_all_speak_http2_without_tls(tmp_path: Path) -> None:
    site = Site(tmp_path, "127.0.0.1:18000", ("127.0.0.1:18001",))
    assert "listen 127.0.0.1:18000 http2 backlog" in WITHOUT_TLS["nginx"].files(site)["nginx.conf"]
    assert "bind 127.0.0.1:18000 proto h2" in WITHOUT_TLS["haproxy"].files(site)["haproxy.cfg"]


def test_ratios_are_to_envoy() -> None:
    rounds = [Round(90.0, 9.0), Round(100.0, 10.0), Round(110.0, 11.0)]
    lines, rows = report({"envoy": [Round(200.0, 5.0)], "smartlb": rounds}, {"smartlb": 1_234.0})
    assert lines[-1] == "| smartlb | 100 | 10 | 1,234 | 0.50 |"
    assert [(row["name"], row["instructions_per_request"]) for row in rows] == [("envoy", None), ("smartlb", 1_234.0)]
    envoy, nginx, haproxy = goals(rows)
    assert (envoy.value, envoy.reached) == (0.5, False)
    assert nginx.value is haproxy.value is None

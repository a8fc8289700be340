import pytest

from benchmarks.smuggling.backends import Record, Recorder, backends
from benchmarks.smuggling.case import Want
from benchmarks.smuggling.http2 import CASES, Answer, Http2Case, problem, run_http2
from benchmarks.smuggling.running import exchange
from tests.proxy.live import Live

NGINX = pytest.param("nginx", marks=pytest.mark.skipif("nginx" not in backends(), reason="nginx is not installed"))


@pytest.mark.parametrize("backend", ["aiohttp", "h11", NGINX])
async def test_nothing_gets_from_http2_into_http1_that_was_not_sent(live: Live, backend: str) -> None:
    recorder = Recorder()
    async with backends()[backend](recorder) as address:
        router = await live.router(address)
        results = await run_http2(f"127.0.0.1:{router.port}", recorder)
    assert not [f"{one.case.name}: {one.problem} ({one.case.rule})" for one in results if one.problem]


async def test_the_preface_is_refused_where_http2_is_off(live: Live) -> None:
    recorder = Recorder()
    async with backends()["h11"](recorder) as address:
        router = await live.router(address, listener={"http2": {"enabled": False}})
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
        received = await exchange(f"127.0.0.1:{router.port}", "127.0.0.1", preface)
    assert int(received[9:12]) in (400, 501, 505)
    assert not recorder.records


def test_the_cases_say_what_is_demanded() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.rule.startswith("RFC 9113 section ") for case in CASES)


# What the verdicts are worth.

SEEN = Record(1, b"GET", b"/a", (), b"")
SERVED = Http2Case("", "", (), want=Want(b"GET", b"/a"))
REFUSED = Http2Case("", "", ())
PROBED = {3: 200}


@pytest.mark.parametrize(
    ("case", "answer", "seen", "probes", "well"),
    [
        (SERVED, Answer({1: 200} | PROBED), [SEEN], 1, True),
        (SERVED, Answer({1: 200} | PROBED), [SEEN, SEEN], 1, False),
        (SERVED, Answer({1: 400} | PROBED), [], 1, False),
        (SERVED, Answer({1: 200} | PROBED), [Record(1, b"GET", b"/b", (), b"")], 1, False),
        (REFUSED, Answer(PROBED, reset={1}), [], 1, True),
        (REFUSED, Answer({1: 400} | PROBED), [], 1, True),
        (REFUSED, Answer(closed=True), [], 0, True),
        (REFUSED, Answer({1: 200} | PROBED), [], 1, False),
        (REFUSED, Answer({1: 400} | PROBED), [SEEN], 1, False),
        (REFUSED, Answer(reset={1, 3}), [], 0, False),
        (REFUSED, Answer(PROBED, reset={1}), [], 2, False),
        (REFUSED, Answer(stalled=True), [], 0, False),
    ],
)
def test_verdicts_of_http2(case: Http2Case, answer: Answer, seen: list[Record], probes: int, well: bool) -> None:
    assert (problem(case, answer, seen, probes) == "") is well

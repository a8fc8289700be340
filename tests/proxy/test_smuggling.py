import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from benchmarks.smuggling.__main__ import ROUTER, complaints, table, through
from benchmarks.smuggling.backends import METHOD, NUMBER, Record, Recorder, backends
from benchmarks.smuggling.case import BAD, PROBE_TARGET, UNFINISHED, After, Case, Refuse, Want, serve
from benchmarks.smuggling.corpus import CORPUS
from benchmarks.smuggling.running import Verdict, judge, read_answers, run
from smartlb.wire.http1 import read_request
from tests.proxy.live import Live, LiveRouter

EVERY = [(group, case) for group, cases in CORPUS.items() for case in cases]
NGINX = pytest.param("nginx", marks=pytest.mark.skipif("nginx" not in backends(), reason="nginx is not installed"))


@asynccontextmanager
async def with_a_clock(router: LiveRouter) -> AsyncIterator[None]:
    """Let the router's timeouts pass by themselves."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(0.1)
            router.sweep()

    task = asyncio.create_task(sweep())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("backend", ["aiohttp", "h11", NGINX])
async def test_router_and_backend_agree_on_every_case(live: Live, backend: str) -> None:
    recorder = Recorder()
    async with backends()[backend](recorder) as address:
        settings: Mapping[str, Any] = {name: ROUTER[name] for name in ("timeouts", "limits")}
        router = await live.router(address, listener={"http2": {"enabled": False}}, **settings)
        async with with_a_clock(router):
            results, strays = await run(f"127.0.0.1:{router.port}", recorder, [case for _, case in EVERY])
        by_group: dict[str, list[Any]] = {group: [] for group in CORPUS}
        for (group, _), result in zip(EVERY, results, strict=True):
            by_group[group].append(result)
        assert not complaints({backend: by_group}), "\n".join(complaints({backend: by_group}))
        assert not strays
        assert table({backend: by_group}).row_count == len(CORPUS)
        # Both happen: neither a router that refuses everything nor one that does not listen would do.
        verdicts = Counter(result.verdict for result in results)
        assert verdicts[Verdict.AGREE] > 150
        assert verdicts[Verdict.REFUSED] > 350


async def test_the_command_runs_every_case_through_a_router_of_its_own() -> None:
    found, strays, http2 = await through(backends()["h11"])
    assert not complaints({"h11": found})
    assert not strays
    assert not [f"{one.case.name}: {one.problem}" for one in http2 if one.problem]
    assert sum(1 in one.answer.statuses for one in http2 if one.case.want is not None) >= 5


def test_the_corpus_says_for_each_case_what_is_demanded() -> None:
    assert len(EVERY) >= 600
    for group, cases in CORPUS.items():
        names = [case.name for case in cases]
        assert len(set(names)) == len(names), group
        for case in cases:
            assert case.sent
            assert case.rule.startswith("RFC "), case.name
            assert case.allowed, case.name


@pytest.mark.parametrize(
    ("came", "forwarded"),
    [
        (b"content-length:\t5 ", b"Content-Length: 5"),
        (b"Content-Length: 05\t", b"Content-Length: 05"),
        (b"content-length: 5", b"content-length: 5"),
        (b"tRANSFER-eNCODING:\tcHUNKED", b"Transfer-Encoding: chunked"),
        (b"transfer-encoding: chunked", b"transfer-encoding: chunked"),
    ],
)
def test_framing_is_forwarded_in_its_plain_spelling(came: bytes, forwarded: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\n" + came + b"\r\nA: b\r\n\r\n"
    assert read_request(head, len(head), None).block.kept == b"\r\nHost: a\r\n" + forwarded + b"\r\nA: b"


# What the verdicts are worth.

CLIENT = b"127.1.0.1"


def record(number: int, target: bytes, body: bytes = b"", request_id: bytes | None = b"1") -> Record:
    own = [(b"x-request-id", request_id)] if request_id else []
    return Record(number, b"GET", target, ((b"x-forwarded-for", CLIENT), *own), body)


def answer(number: int, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\n%s: %d\r\n%s: GET\r\ncontent-length: %d\r\n\r\n%s" % (
        *(NUMBER, number, METHOD, len(body), body),
    )


REFUSAL = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
DECLINED = b"HTTP/1.1 405 Not Allowed\r\nserver: nginx\r\ncontent-length: 0\r\n\r\n"
A = Want(b"GET", b"/a")
SERVED = Case("", b"", "", (serve(A),))
CLOSED = Case("", b"", "", (serve(A, after=After.CLOSES),))
REFUSED = Case("", b"", "", (BAD,))
REFUSED_AFTER = Case("", b"", "", (Refuse(frozenset({400}), (A,)),))
MAY_BE_DECLINED = Case("", b"", "", (serve(A),), may_be_declined=True)
GIVEN_UP = Case("", b"", "", (UNFINISHED,))
ONE, PROBED = record(1, b"/a"), record(2, PROBE_TARGET)

JUDGED: dict[str, tuple[Case, bytes, list[Record], Verdict, bool]] = {
    "served": (SERVED, answer(1) + answer(2), [ONE, PROBED], Verdict.AGREE, True),
    "an interim response before": (
        SERVED,
        b"HTTP/1.1 100 Continue\r\n\r\n" + answer(1) + answer(2),
        [ONE, PROBED],
        Verdict.AGREE,
        True,
    ),
    "served, then closed": (CLOSED, answer(1), [ONE], Verdict.AGREE, True),
    "closed too early": (SERVED, answer(1), [ONE], Verdict.AGREE, False),
    "kept open": (CLOSED, answer(1) + answer(2), [ONE, PROBED], Verdict.AGREE, False),
    "another target": (SERVED, answer(1) + answer(2), [record(1, b"/b"), PROBED], Verdict.AGREE, False),
    "one more than there should be": (
        SERVED,
        answer(1) + answer(2) + answer(3),
        [ONE, record(2, b"/b"), record(3, PROBE_TARGET)],
        Verdict.AGREE,
        False,
    ),
    "refused": (REFUSED, REFUSAL, [], Verdict.REFUSED, True),
    "refused after another": (REFUSED_AFTER, answer(1) + REFUSAL, [ONE], Verdict.REFUSED, True),
    "refused at once": (REFUSED_AFTER, REFUSAL, [], Verdict.REFUSED, False),
    "refused, not served": (SERVED, REFUSAL, [], Verdict.REFUSED, False),
    "served, not refused": (REFUSED, answer(1) + answer(2), [ONE, PROBED], Verdict.AGREE, False),
    "another status": (REFUSED, REFUSAL.replace(b"400", b"500"), [], Verdict.REFUSED, False),
    "no answer": (GIVEN_UP, b"", [], Verdict.REFUSED, True),
    "no answer where there should be one": (REFUSED, b"", [], Verdict.REFUSED, False),
    "declined": (MAY_BE_DECLINED, DECLINED + answer(2), [PROBED], Verdict.DECLINED, True),
    "declined, which may not be": (SERVED, DECLINED + answer(2), [PROBED], Verdict.DECLINED, False),
    "declined once more than there are requests": (
        MAY_BE_DECLINED,
        DECLINED + DECLINED + answer(2),
        [PROBED],
        Verdict.DECLINED,
        False,
    ),
    "smuggled, no answer": (SERVED, answer(1) + answer(2), [ONE, record(3, b"/s"), PROBED], Verdict.DISAGREE, False),
    "smuggled, its answer given to the next": (
        SERVED,
        answer(1) + answer(3),
        [ONE, PROBED, record(3, b"/s")],
        Verdict.DISAGREE,
        False,
    ),
    "not sent as a request": (
        SERVED,
        answer(1) + answer(2),
        [record(1, b"/a", request_id=None), PROBED],
        Verdict.DISAGREE,
        False,
    ),
    "refused, but forwarded": (REFUSED, REFUSAL, [ONE], Verdict.DISAGREE, False),
    "answered, not forwarded": (SERVED, answer(1) + answer(2), [PROBED], Verdict.DISAGREE, False),
    "another body": (SERVED, answer(1, b"x") + answer(2), [ONE, PROBED], Verdict.DISAGREE, False),
    "served after a refusal": (SERVED, REFUSAL + answer(2), [PROBED], Verdict.DISAGREE, False),
    "no response at all": (SERVED, b"hello", [], Verdict.DISAGREE, False),
}


@pytest.mark.parametrize(("case", "received", "seen", "verdict", "as_demanded"), JUDGED.values(), ids=JUDGED)
def test_verdicts(case: Case, received: bytes, seen: list[Record], verdict: Verdict, as_demanded: bool) -> None:
    result = judge(case, received, seen)
    assert (result.verdict, result.as_demanded) == (verdict, as_demanded), result.problem
    assert result.well == (as_demanded and verdict is not Verdict.DISAGREE)
    assert result.as_json()["verdict"] == verdict.value


def test_answers_are_read_by_their_framing() -> None:
    head = b"HTTP/1.1 200 OK\r\n%s: 1\r\n%s: HEAD\r\ncontent-length: 9\r\n\r\n" % (NUMBER, METHOD)
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n"
    until_close = b"HTTP/1.1 502 Bad Gateway\r\n\r\nHTTP/1.1 200 OK"
    answers = read_answers(head + chunked + answer(2, b"x") + until_close)
    assert [answer.body for answer in answers] == [b"", b"abcd", b"x", b"HTTP/1.1 200 OK"]
    assert b"".join(answer.raw for answer in answers) == head + chunked + answer(2, b"x") + until_close

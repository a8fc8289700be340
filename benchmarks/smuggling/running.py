"""Send the cases through a router, and compare its answers with what the backend behind it has seen."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from typing import Any, Final

from benchmarks.smuggling.backends import METHOD, NUMBER, Record, Recorder
from benchmarks.smuggling.case import NO_ANSWER, PROBE, PROBE_TARGET, After, Case, Outcome, Serve, Want

_AT_ONCE = 24
_LONGEST_S = 20.0
_LONGEST_TEXT = 10_000
_FIRST_CLIENT: Final = IPv4Address("127.1.0.1")
"""Every case has a loopback address of its own, so that the backend's records tell whose they are (Linux has all of
127.0.0.0/8)."""

_FIRST_CHECK: Final = IPv4Address("127.2.0.1")
_CHECKS = 8
_CHECK = b"POST /check HTTP/1.1\r\nHost: check.example\r\nContent-Length: 5\r\nConnection: close\r\n\r\ncheck"


class Verdict(StrEnum):
    """Whether router and backend are of one mind."""

    AGREE = "agree"  # the backend saw the requests that were answered, and nothing else
    REFUSED = "refused"  # the same, and the router refused the last of the client's bytes
    DECLINED = "declined"  # the same, but the backend answered a request with an error of its own
    DISAGREE = "DISAGREE"


@dataclass(frozen=True, slots=True)
class Answer:
    """A final response, as the client has read it.

    Attributes:
        status: its code.
        number: of the backend's record that it answers; None where no backend wrote one.
        declined: whether it is an error of the backend's own.
        body: its content.
        raw: all of it.
    """

    status: int
    number: int | None
    declined: bool
    body: bytes
    raw: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case.

    Attributes:
        case: which.
        answers: what the client got.
        seen: what the backend saw from this client, the probe included.
        problem: what router and backend disagree on; empty where they agree.
        verdict: the same in a word.
        as_demanded: whether the outcome is one of those that are allowed.
    """

    case: Case
    answers: Sequence[Answer]
    seen: Sequence[Record]
    problem: str
    verdict: Verdict
    as_demanded: bool

    @property
    def well(self) -> bool:
        """Whether there is nothing to complain of."""
        return self.as_demanded and self.verdict is not Verdict.DISAGREE

    def as_json(self) -> dict[str, Any]:
        """One object of the report."""
        return {
            "case": self.case.name,
            "rule": self.case.rule,
            "sent": _text(self.case.sent),
            "answers": [_text(answer.raw) for answer in self.answers],
            "seen": [_record_json(record) for record in self.seen],
            "verdict": self.verdict.value,
            "problem": self.problem,
            "as_demanded": self.as_demanded,
        }


def _text(data: bytes) -> str:
    """Bytes as Latin-1, the middle left out where there are very many."""
    if len(data) > _LONGEST_TEXT:
        half = _LONGEST_TEXT // 2
        data = data[:half] + b" ... %d bytes ... " % (len(data) - 2 * half) + data[-half:]
    return data.decode("latin-1")


def _record_json(record: Record) -> dict[str, Any]:
    return {
        "method": _text(record.method),
        "target": _text(record.target),
        "headers": [[_text(name), _text(value)] for name, value in record.headers],
        "body": _text(record.body),
    }


def read_answers(data: bytes) -> list[Answer]:
    """The final responses in all that a client has received.

    Raises:
        ValueError: it is not a row of responses.
    """
    answers = []
    while data:
        head, parted, rest = data.partition(b"\r\n\r\n")
        start, *fields = head.split(b"\r\n")
        version, _, after = start.partition(b" ")
        if not parted or version != b"HTTP/1.1":
            raise ValueError(f"not a response: {data[:80]!r}")
        status = int(after[:3])
        headers = {name.lower(): value.strip() for name, _, value in (field.partition(b":") for field in fields)}
        if status < 200:
            data = rest
            continue
        body, rest = _content(headers, rest)
        number = int(headers[NUMBER]) if NUMBER in headers else None
        declined = number is None and status >= 400 and b"server" in headers  # which the router does not say
        answers.append(Answer(status, number, declined, body, data[: len(data) - len(rest)]))
        data = rest
    return answers


def _content(headers: Mapping[bytes, bytes], data: bytes) -> tuple[bytes, bytes]:
    """A response's body, and what follows it; a body may be missing at the end, as in an error that answers a HEAD."""
    if headers.get(METHOD) == b"HEAD":
        return b"", data
    if b"content-length" in headers:
        length = int(headers[b"content-length"])
        return data[:length], data[length:]
    if b"transfer-encoding" not in headers:
        return data, b""
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return body, data[2:]
        body, data = body + data[:length], data[length + 2 :]


async def exchange(router: str, client: str, sent: bytes, *, cut: bool = False) -> bytes:
    """Send bytes from the address `client`; returns all that comes until the router closes.

    Raises:
        TimeoutError: it does not close.
    """
    host, _, port = router.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(client, 0))
    received = b""
    try:
        async with asyncio.timeout(_LONGEST_S):
            writer.write(sent)
            if cut:
                writer.write_eof()
            while piece := await reader.read(65_536):
                received += piece
    except ConnectionError:
        pass  # the router may reset the connection of a client that it has refused
    finally:
        writer.transport.abort()
    return received


async def run(router: str, recorder: Recorder, cases: Iterable[Case]) -> tuple[list[Result], list[str]]:
    """Send each case on a connection of its own, many at once.

    Args:
        router: HOST:PORT. Its timeouts should be short, as some cases wait for them.
        recorder: of the only backend that the router has; nobody else may use it meanwhile.
        cases: to be sent.

    Returns:
        A result for each case, and what cannot be told to come of one case: requests and bytes that the backend got
        and that the router did not mean to send.
    """
    places = asyncio.Semaphore(_AT_ONCE)
    first = len(recorder.records)

    async def send(case: Case, client: str) -> bytes:
        async with places:
            return await exchange(router, client, case.sent + (b"" if case.cut else PROBE), cut=case.cut)

    every = [(case, str(_FIRST_CLIENT + at)) for at, case in enumerate(cases)]
    received = await asyncio.gather(*(send(case, client) for case, client in every))
    # Bytes left behind on a kept connection would show in the requests that follow on it.
    checks = await asyncio.gather(*(exchange(router, str(_FIRST_CHECK + at), _CHECK) for at in range(_CHECKS)))
    records: dict[str, list[Record]] = {}
    for record in recorder.records[first:]:
        records.setdefault(record.client, []).append(record)
    results = [judge(case, data, records.pop(client, [])) for (case, client), data in zip(every, received, strict=True)]
    strays = [f"the backend refused: {rejection}" for rejection in recorder.rejected]
    for at, data in enumerate(checks):
        mine = records.pop(str(_FIRST_CHECK + at), [])
        if [(record.target, record.body) for record in mine] != [(b"/check", b"check")] or b"check" not in data:
            strays.append(f"a later request was not served as it was sent: {mine} {data!r}")
    strays += [f"nobody sent this: {record}" for stray in records.values() for record in stray]
    return results, strays


def judge(case: Case, received: bytes, seen: Sequence[Record]) -> Result:
    """Compare what a client has received with what the backend has seen from it."""
    try:
        answers = read_answers(received)
    except ValueError as error:
        return Result(case, [], seen, str(error), Verdict.DISAGREE, as_demanded=False)
    problem = _problem(answers, seen)
    refused = not answers or _refused(answers[-1])
    declined = any(answer.declined for answer in answers)
    verdict = (
        Verdict.DISAGREE if problem else Verdict.REFUSED if refused else Verdict.DECLINED if declined else Verdict.AGREE
    )
    as_demanded = (
        not problem
        and (case.may_be_declined or not declined)
        and any(_meets(outcome, answers, seen) for outcome in case.allowed)
    )
    return Result(case, answers, seen, problem, verdict, as_demanded)


def _refused(answer: Answer) -> bool:
    return answer.number is None and not answer.declined


def _problem(answers: Sequence[Answer], seen: Sequence[Record]) -> str:
    if any(map(_refused, answers[:-1])):
        return "an answer of the router's own is not the last"
    recorded = [answer for answer in answers if answer.number is not None]
    if [answer.number for answer in recorded] != [record.number for record in seen]:
        return f"{len(recorded)} requests were answered, the backend saw {len(seen)}, or others"
    for answer, record in zip(recorded, seen, strict=True):
        if record.method != b"HEAD" and answer.body != record.body:
            return f"the answer to {record.target!r} is not of the body that the backend saw"
    unsent = [record for record in seen if record.value(b"x-request-id") is None]
    return f"the router did not send {unsent[0].target!r} as a request" if unsent else ""


def _meets(outcome: Outcome, answers: Sequence[Answer], seen: Sequence[Record]) -> bool:
    refused = not answers or _refused(answers[-1])
    records = iter(seen)
    requests = [None if answer.declined else next(records) for answer in answers if not _refused(answer)]
    if isinstance(outcome, Serve):
        last = requests[-1] if requests else None
        probed = last is not None and last.target == PROBE_TARGET
        if outcome.after is not After.EITHER and probed != (outcome.after is After.STAYS):
            return False
        return not refused and _are(requests[:-1] if probed else requests, outcome.requests)
    if not answers or answers[-1].number is not None:
        return NO_ANSWER in outcome.statuses and _are(requests, outcome.served)
    served = requests if refused else requests[:-1]
    return answers[-1].status in outcome.statuses and _are(served, outcome.served)


def _are(requests: Sequence[Record | None], wanted: Sequence[Want]) -> bool:
    return len(requests) == len(wanted) and all(map(_is, requests, wanted))


def _is(request: Record | None, want: Want) -> bool:
    """Whether a request is the wanted one; one that the backend has declined is not looked at."""
    return request is None or (
        (request.method, request.target, request.body) == (want.method, want.target, want.body)
        and all(request.value(name) == value for name, value in want.fields.items())
    )

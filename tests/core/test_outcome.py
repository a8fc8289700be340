from itertools import product

import numpy as np
import pytest

from smartlb.core.outcome import FIRST_BACKEND_FAULT, Blame, Outcome, failed
from smartlb.core.record import RECORD, failures

STATUSES = (0, 100, 200, 204, 301, 400, 404, 428, 429, 430, 499, 500, 502, 503, 504, 599)


def test_one_request_and_many_fail_by_the_same_rule() -> None:
    cases = list(product(Outcome, STATUSES))
    records = np.zeros(len(cases), dtype=RECORD)
    records["outcome"] = [outcome for outcome, _ in cases]
    records["status"] = [status for _, status in cases]
    assert failures(records).tolist() == [failed(outcome, status) for outcome, status in cases]


@pytest.mark.parametrize(
    ("outcome", "status", "expected"),
    [
        (Outcome.COMPLETE, 200, False),
        (Outcome.COMPLETE, 404, False),
        (Outcome.COMPLETE, 429, True),
        (Outcome.COMPLETE, 499, False),
        (Outcome.COMPLETE, 500, True),
        (Outcome.CONNECT_FAILED, 502, True),
        (Outcome.TRUNCATED, 200, True),
        # A client that leaves, and a router without room, say nothing about the backend.
        (Outcome.CLIENT_GONE, 0, False),
        (Outcome.CLIENT_TIMEOUT, 408, False),
        (Outcome.QUEUE_FULL, 503, False),
        (Outcome.INTERNAL, 500, False),
    ],
)
def test_only_the_backends_doing_is_a_failure(outcome: Outcome, status: int, expected: bool) -> None:
    assert failed(outcome, status) is expected


def test_blame_follows_the_groups() -> None:
    by_blame = {blame: {outcome for outcome in Outcome if outcome.blame is blame} for blame in Blame}
    assert by_blame[Blame.NOBODY] == {Outcome.COMPLETE, Outcome.HEDGE_LOST}
    assert by_blame[Blame.CLIENT] == {
        Outcome.CLIENT_GONE,
        Outcome.BAD_REQUEST,
        Outcome.HEADER_TOO_LARGE,
        Outcome.BODY_TOO_LARGE,
        Outcome.CLIENT_TIMEOUT,
        Outcome.NO_ROUTE,
        Outcome.METHOD_REFUSED,
        Outcome.RATE_LIMITED,
    }
    assert by_blame[Blame.ROUTER] == {
        Outcome.NO_BACKEND,
        Outcome.QUEUE_FULL,
        Outcome.QUEUE_TIMEOUT,
        Outcome.INTERNAL,
    }
    assert by_blame[Blame.BACKEND] == {outcome for outcome in Outcome if outcome >= FIRST_BACKEND_FAULT}


def test_outcomes_fit_their_byte_and_have_labels() -> None:
    assert all(0 <= outcome < 256 for outcome in Outcome)
    assert Outcome.CONNECT_FAILED.label == "connect_failed"
    assert len({outcome.label for outcome in Outcome}) == len(Outcome)

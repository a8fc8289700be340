import json

import pytest

from smartlb.core.outcome import Blame, Outcome
from smartlb.wire.answers import error_response, status_of
from tests.wire.oracle import assert_sound, read_response

# A client that has gone or has a response, or part of one, or is to get another, gets no answer from the router.
UNANSWERED = [Outcome.COMPLETE, Outcome.CLIENT_GONE, Outcome.HEDGE_LOST, Outcome.TRUNCATED]
ANSWERED = [outcome for outcome in Outcome if outcome not in UNANSWERED]


@pytest.mark.parametrize("outcome", ANSWERED)
@pytest.mark.parametrize("keep_alive", [False, True])
def test_answers_are_whole_responses(outcome: Outcome, keep_alive: bool) -> None:
    message = 'a "quoted" message,\r\nwith two lines and é'
    data = error_response(outcome, message, keep_alive=keep_alive)
    assert_sound(data[: data.index(b"\r\n\r\n") + 4])
    read = read_response(data)
    assert read.start == status_of(outcome)
    assert (read.complete, read.rest) == (True, b"")
    assert read.values(b"content-type") == [b"application/json"]
    assert read.values(b"connection") == ([] if keep_alive else [b"close"])
    assert json.loads(read.content) == {"error": outcome.label, "status": status_of(outcome), "message": message}


@pytest.mark.parametrize("outcome", ANSWERED)
def test_the_answer_to_head_has_the_length_but_no_body(outcome: Outcome) -> None:
    head = error_response(outcome, "m", keep_alive=True, body=False)
    whole = error_response(outcome, "m", keep_alive=True)
    assert_sound(head)
    assert whole.startswith(head)
    read = read_response(head, b"HEAD")
    assert read.complete
    assert read.values(b"content-length") == [b"%d" % (len(whole) - len(head))]


def test_the_status_says_whose_fault_it_is() -> None:
    for outcome in ANSWERED:
        status = status_of(outcome)
        if outcome is Outcome.METHOD_REFUSED:
            assert status == 501  # RFC 9110 section 9.1
        elif outcome.blame is Blame.CLIENT:
            assert 400 <= status < 500
        elif outcome.blame is Blame.BACKEND:
            assert status in (502, 504)
        else:
            assert status in (500, 503)


@pytest.mark.parametrize("outcome", UNANSWERED)
def test_other_outcomes_have_no_answer(outcome: Outcome) -> None:
    with pytest.raises(KeyError):
        status_of(outcome)

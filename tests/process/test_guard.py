import asyncio
import logging

import pytest

from smartlb.process.guard import Guard


def test_what_comes_after_goes_on_and_errors_are_counted_by_duty(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard()
    done = []
    for number in range(3):
        with guard("counting"):
            done.append(1 // (number - 1))
    with guard("reading"):
        raise OSError("gone")
    assert done == [-1, 1]
    assert guard.errors == {"counting": 1, "reading": 1}
    assert [record.exc_info is not None for record in caplog.records] == [True, True]
    assert "internal error in counting, the rest goes on (1 so far)" in caplog.text


def test_each_duty_is_complained_about_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    times = iter([0.0, 0.0, 59.0, 60.0])
    guard = Guard(lambda: next(times))
    for duty in ("a", "b", "a", "a"):
        with guard(duty):
            raise ValueError(duty)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert said == [
        "internal error in a, the rest goes on (1 so far)",
        "internal error in b, the rest goes on (1 so far)",
        "internal error in a, the rest goes on (3 so far)",
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_an_end_that_is_asked_for_is_no_error(error: type[BaseException]) -> None:
    guard = Guard()
    with pytest.raises(error), guard("anything"):
        raise error
    assert not guard.errors

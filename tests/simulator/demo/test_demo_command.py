import argparse
from pathlib import Path

import pytest

from simulator.demo import command
from simulator.demo.settings import Settings


def _parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args(arguments)


def test_the_defaults_are_those_of_the_settings() -> None:
    args, settings = _parse(), Settings()
    for name in ("policies", "seconds", "rate", "seed", "trace", "output", "plain"):
        assert getattr(args, name) == getattr(settings, name)


def test_policies_are_taken_in_order_and_once() -> None:
    assert _parse("--policies", "round_robin, learned,round_robin").policies == ("round_robin", "learned")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--policies", "lerned"), "did you mean 'learned'"),
        (("--policies", ","), "expected the name of a policy"),
        (("--seconds", "0"), "'0' is not a number from 4"),
        (("--rate", "nan"), "'nan' is not a number"),
        (("--rate", "fast"), "'fast' is not a number"),
        (("--seed", "-1"), "'-1' is not a whole number"),
    ],
)
def test_what_makes_no_sense_is_refused(
    arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _parse(*arguments)
    assert says in " ".join(capsys.readouterr().err.split())


def test_a_bad_trace_is_one_line_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "notes.txt"
    trace.write_text("hello\n")
    status = command.run(_parse("--trace", str(trace), "--output", str(tmp_path / "out")))
    assert status == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"smartlb demo: {trace}: not a trace")
    assert captured.err.count("\n") == 1

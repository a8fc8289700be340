import re
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from simulator.measures.cast import Cast
from simulator.measures.figures import Figures
from simulator.report.rows import load
from simulator.report.table import report
from tests.simulator.measures.made import made_figures, table_of

CAST = Cast(told=frozenset({"true_weights_least_connections"}), references=frozenset({"c3"}))


def figures() -> list[Figures]:
    values = {
        "learned": [100.0, 110.0],
        "clairvoyant": [50.0, 60.0],
        "true_weights_least_connections": [60.0, 70.0],
        "c3": [80.0, 85.0],
        "random": [20_000.0, 30_000.0],
    }
    worst: dict[str, Any] = {"grows": True, "refused": 0.05, "errors": 0.04, "p99_ms": 30_000.0}
    return [
        *table_of(values, "first"),
        *table_of(values, "second"),
        made_figures("[red]", 1, "second", **worst),
    ]


def shown(width: int, found: list[Figures] | None = None, **options: Any) -> str:
    out = StringIO()
    Console(file=out, width=width, **options).print(report(found or figures(), CAST, width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_it_fits_and_nothing_is_cut(width: int) -> None:
    text = shown(width)

    assert all(len(line.rstrip()) <= width for line in text.splitlines())
    assert "…" not in text
    for name in ("first", "second", "learned", "clairvoyant ‡", "connections †", "c3 °", "[red] ▲"):
        assert name in text


def test_a_variants_long_name_is_broken_behind_its_comma() -> None:
    text = shown(120, table_of({"learned": [10.0], "learned, no drift detection": [20.0], "learned, linear": [30.0]}))

    assert re.search(r"^ learned, +5\.00 ms.*\n no drift detection *$", text, re.MULTILINE)
    assert re.search(r"^ learned, linear +7\.50 ms", text, re.MULTILINE)


def test_the_best_that_could_be_built_is_bold() -> None:
    lines = shown(120, force_terminal=True, color_system="standard").splitlines()

    assert all("\x1b[1m" in line for line in lines if " c3 °" in line and "ms" in line)
    assert not any("\x1b[1m" in line for line in lines if "clairvoyant ‡" in line and "ms" in line)


def test_overload_is_told() -> None:
    text = shown(120)

    assert "30.0 s" in text
    assert "▲ [red]: queues grow all the time; 5.0 % of attempts found a full queue" in text


def test_losses_are_told() -> None:
    text = " ".join(shown(120).split())

    assert "Where learned loses by more than 5 %" in text
    assert "first p99 105 ms c3 82.5 ms −21 %" in text


def test_that_there_are_no_losses_is_told() -> None:
    text = shown(120, table_of({"learned": [10.0], "random": [20.0]}))

    assert "Nowhere is another policy that could be built better than learned" in text
    assert "±" not in text


def test_one_policy_alone_is_compared_with_nobody() -> None:
    text = shown(120, table_of({"random": [10.0]}))

    assert "random" in text
    assert "Nowhere" not in text
    assert "Over all" not in text


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {},
            "1,352 requests/s, 80 % of what the fleet carries at best, generated; 60 s, of which the first 10 s do not",
        ),
        ({"speedup": 12.5}, "from a trace replayed 12.5 times as fast as recorded"),
        ({"speedup": 1.0}, "from a trace as recorded"),
        ({"speedup": 1.0, "skipped": 1234}, "(1,234 malformed lines left out)"),
        ({"speedup": 2.0, "stand_in": True}, "from a generated stand-in for the trace"),
        ({}, "; seed 1"),
    ],
)
def test_how_load_was_scaled(changes: dict[str, Any], expected: str) -> None:
    base: dict[str, Any] = {"rate": 1352.0, "utilisation": 0.8, "duration_s": 60.0, "warmup_s": 10.0}

    assert expected in load([made_figures("learned", **{**base, **changes})])

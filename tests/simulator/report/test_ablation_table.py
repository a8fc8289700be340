from io import StringIO

from rich.console import Console

from simulator.measures.figures import Figures
from simulator.report.ablation import table
from tests.simulator.measures.made import table_of


def lines(figures: list[Figures]) -> list[str]:
    out = StringIO()
    Console(file=out, width=120).print(table(figures))
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def figures() -> list[Figures]:
    values = {"learned, average": [40.0], "learned": [20.0], "clairvoyant": [10.0]}
    other = {"learned, average": [30.0], "learned": [40.0], "clairvoyant": [20.0]}
    return [*table_of(values, "first"), *table_of(other, "second")]


def test_a_row_a_variant_with_where_it_is_worst_and_best() -> None:
    found = lines(figures())
    assert "learned +100 % +100 % 0 – –" in found
    assert "learned, average +145 % +145 % 0 first +100 % second -25 %" in found
    assert any(line.startswith("clairvoyant 0 % 0 % 0") for line in found)


def test_what_is_not_known_is_a_dash() -> None:
    found = lines([each for each in figures() if each.policy == "learned, average"])
    assert "learned, average – – 0 – –" in found

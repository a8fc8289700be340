import io

import pytest
from rich.console import Console

from benchmarks.proxy import goals, main
from benchmarks.rig.measuring import Measurement, cpu_between, rotated
from benchmarks.rig.processes import BenchmarkError, Usage, parse_stat
from benchmarks.rig.report import Result, compared, ratios, table


def measurement(requests_per_s: float, errors: int = 0) -> Measurement:
    return Measurement(requests_per_s, 1.0, 2.0, 1e6 / requests_per_s, 2e6 / requests_per_s, 12.5, 7.5, errors)


def result(
    name: str, *rates: float, errors: int = 0, shape: str = "small", instructions: float | None = None
) -> Result:
    return Result(name, "1.2.3", shape, [measurement(rate, errors) for rate in rates], instructions)


def rendered(rows: list[dict[str, object]]) -> str:
    console = Console(file=io.StringIO(), width=140)
    console.print(table(rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_result_has_one_object_with_spreads() -> None:
    row = result("nginx", 40_000, 50_000, 20_000, errors=2).as_json()
    assert list(row) == [
        "name",
        "version",
        "shape",
        "rounds",
        "requests_per_s",
        "p50_ms",
        "p99_ms",
        "cpu_us_per_request",
        "cpu_us_per_request_all",
        "rss_mb",
        "pss_mb",
        "instructions_per_request",
        "errors",
    ]
    assert row["rounds"] == 3
    assert row["errors"] == 6
    assert row["requests_per_s"] == {"min": 20_000, "median": 40_000, "max": 50_000}
    assert row["cpu_us_per_request"] == {"min": 20.0, "median": 25.0, "max": 50.0}


def test_the_table_shows_medians_and_ratios() -> None:
    rows = [result("smartlb", 40_000).as_json(), result("nginx", 50_000).as_json()]
    text = rendered(rows)
    assert "40,000" in text
    assert "smartlb ÷ nginx: requests/s 0.80" in text
    assert "CPU/request 1.25" in text
    assert "envoy" not in text


def test_instructions_are_compared_where_both_are_counted() -> None:
    own = result("smartlb", 40_000, instructions=30_000.0).as_json()
    assert "instructions 1.50" in rendered([own, result("nginx", 50_000, instructions=20_000.0).as_json()])
    assert "instructions 1" not in rendered([own, result("nginx", 50_000).as_json()])


def test_a_comparison_needs_both_without_errors() -> None:
    rows = [result("smartlb", 40_000).as_json(), result("nginx", 50_000).as_json()]
    assert compared(rows, "requests_per_s", "nginx") == 0.8
    assert compared(rows, "requests_per_s", "envoy") is None
    failing = [result("smartlb", 40_000).as_json(), result("nginx", 50_000, errors=1).as_json()]
    assert compared(failing, "requests_per_s", "nginx") is None


def test_small_shapes_have_goals_beside_each_and_large_ones_beside_the_best() -> None:
    small = [result(name, rate).as_json() for name, rate in (("smartlb", 60.0), ("nginx", 50.0), ("envoy", 20.0))]
    large = [
        result(name, rate, shape="body100k").as_json() for name, rate in (("smartlb", 60.0), ("a", 50.0), ("b", 80.0))
    ]
    found = {goal.what: goal for goal in goals([*small, *large])}
    assert found["requests/s of nginx's, small"].value == 1.2
    assert found["CPU per request of nginx's, small"].reached
    assert found["requests/s of haproxy's, small"].value is None
    assert found["requests/s of envoy's, small"].reached
    best = found["requests/s of the best other's, body100k"]
    assert (best.value, best.reached) == (0.75, False)
    assert found["a worker under load, MB (PSS)"].value == 7.5


def test_rows_with_errors_are_marked() -> None:
    text = rendered([result("nginx", 50_000, errors=3).as_json(), result("caddy", 9_000).as_json()])
    assert "! nginx" in text
    assert "! caddy" not in text


def test_without_smartlb_there_are_no_ratios() -> None:
    assert ratios([result("nginx", 50_000).as_json()]) == []


def test_every_proxy_begins_a_round_in_turn() -> None:
    assert [rotated(["a", "b", "c"], number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


def test_a_stat_line_is_read_behind_the_command() -> None:
    usage = parse_stat("42 (a (odd) name) S 7 42 42 0 -1 4194304 103 0 0 0 150 50 9 9 20 0 1 0 168426 0 0")
    assert usage.pid == 42
    assert usage.parent == 7
    assert usage.cpu_s > 0
    assert usage.cpu_s == pytest.approx(parse_stat("1 (x) S 1 1 1 0 -1 0 0 0 0 0 200 0 0 0 20 0 1 0 1 0 0").cpu_s)


def test_cpu_is_the_difference_and_all_of_a_new_process() -> None:
    before = {1: Usage(1, 0, 2.0)}
    after = {1: Usage(1, 0, 3.5), 2: Usage(2, 1, 0.5)}
    assert cpu_between(before, after) == {1: 1.5, 2: 0.5}


def test_a_process_that_ended_meanwhile_is_an_error() -> None:
    with pytest.raises(BenchmarkError, match="ended"):
        cpu_between({1: Usage(1, 0, 2.0), 2: Usage(2, 1, 1.0)}, {1: Usage(1, 0, 3.0)})


@pytest.mark.parametrize("arguments", [["--rounds", "0"], ["--shape", "huge"], ["--only", "squid"], ["--seconds", "x"]])
def test_bad_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert arguments[0] in capsys.readouterr().err

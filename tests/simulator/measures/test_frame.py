from simulator.measures.figures import figures
from simulator.measures.frame import table
from simulator.measures.recovery import Recovery
from tests.simulator.measures.made import busy_run, made_figures


def test_one_row_a_run_with_the_unit_in_each_name() -> None:
    frame = table([figures(busy_run("learned", 1)), figures(busy_run("random", 2))])

    assert frame[["policy", "seed"]].to_numpy().tolist() == [["learned", 1], ["random", 2]]
    assert {"mean_ms", "p999_ms", "error_share", "recovery_s", "rate_per_s", "requests_per_wall_s"} <= set(
        frame.columns
    )
    assert frame["recovery_s"].isna().all()
    assert frame["p99_ms"].dtype == float


def test_troubles_are_told_in_columns() -> None:
    troubles = [Recovery("slow a", 1.0, 2.0, 9.0, 3.0, 1.0), Recovery("slow b", 2.0, 3.0, 9.0, 4.0, None)]
    row = table([made_figures("learned", recovery=troubles)]).iloc[0]

    assert (row["troubles"], row["unrecovered"], row["recovery_s"]) == (2, 0, 4.0)
    assert row["return_s"] != row["return_s"]  # never, of one of them


def test_a_table_of_nothing_has_columns() -> None:
    assert "policy" in table([]).columns

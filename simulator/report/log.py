"""Every attempt of a run as a file, for whoever wants to look closer."""

from pathlib import Path

from simulator.result import Run


def write_log(path: Path, of: Run) -> None:
    """Write `Run.frame`: Parquet, or CSV where the file's name ends so.

    Raises:
        OSError: the file cannot be written.
    """
    frame = of.frame()
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)

"""The comparison as files: JSON and Parquet for programs, HTML for people; each appears whole or not at all."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from simulator.measures.figures import Figures
from simulator.measures.frame import table


def document(figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """One object a scenario, policy and seed, with every figure under its name in `Figures`."""
    return [asdict(each) for each in figures]


def write_json(path: Path, figures: Sequence[Figures]) -> None:
    """Write `document`.

    Raises:
        OSError: the file cannot be written.
    """
    _write(path, (json.dumps(document(figures), indent=2, allow_nan=False) + "\n").encode())


def write_parquet(path: Path, figures: Sequence[Figures]) -> None:
    """Write `simulator.measures.frame.table`.

    Raises:
        OSError: the file cannot be written.
    """
    _write(path, table(figures).to_parquet(None, index=False))


def write_html(path: Path, page: str) -> None:
    """Write a page.

    Raises:
        OSError: the file cannot be written.
    """
    _write(path, page.encode())


def _write(path: Path, content: bytes) -> None:
    # Beside the target, as only within a file system a file can take another one's place at once.
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)

"""Run the notebooks and store them with their outputs: `python notebooks/execute.py [NOTEBOOK ...]`.

What differs from run to run without meaning anything, such as the time a cell took, is left out, so that a difference
between two stored notebooks is one between what they show.
"""

import argparse
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.util import run_sync

HERE = Path(__file__).parent
_CELL_S = 300


def executed(path: Path) -> nbformat.NotebookNode:
    """A notebook with its outputs, run from the beginning in a kernel of its own.

    Raises:
        CellExecutionError: a cell failed, or wrote a warning.
    """
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory(prefix="smartlb-notebook-") as folder:
        # Over sockets in a folder of its own rather than open ports of this machine.
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel")
        resources = {"metadata": {"path": str(HERE)}}
        try:
            NotebookClient(notebook, km=kernel, timeout=_CELL_S, record_timing=False, resources=resources).execute()
        finally:
            run_sync(kernel.shutdown_kernel)(now=True)
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", ()):
            if output.output_type == "stream" and output.name == "stderr":
                raise CellExecutionError(output.text, "Warning", output.text)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def main() -> int:
    """Read the command line and run; the exit status is 1 if a notebook fails."""
    parser = argparse.ArgumentParser(description="Run the notebooks and store them with their outputs.")
    parser.add_argument("notebooks", nargs="*", type=Path, help="all where none is given")
    parser.add_argument("--output", type=Path, help="folder to store them in; in their place where not given")
    parser.add_argument("--size", choices=("full", "small"), default="full", help="how much they do")
    options = parser.parse_args()
    os.environ["SMARTLB_NOTEBOOK_SIZE"] = options.size
    for path in options.notebooks or sorted(HERE.glob("*.ipynb")):
        started_s = perf_counter()
        try:
            notebook = executed(path)
        except CellExecutionError as error:
            print(f"{path.name}: {error}", file=sys.stderr)
            return 1
        nbformat.write(notebook, (options.output or path.parent) / path.name)
        print(f"{path.name}: {perf_counter() - started_s:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs cases of a benchmark when it is told to, for someone who counts: ``python -m benchmarks.rig.counted MODULE``.

A line of standard input has the name of a case and a number of calls, parted by a tab; the answer to it is ``done``.
The process ends with its input.
"""

import argparse
import importlib
import sys


def main() -> None:
    """Do what the lines say."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rig.counted", description=main.__doc__)
    parser.add_argument("module", help="has a function `cases`")
    cases = importlib.import_module(parser.parse_args().module).cases()
    for line in sys.stdin:
        case, _, calls = line.rstrip("\n").partition("\t")
        cases[case](int(calls))
        print("done", flush=True)


if __name__ == "__main__":
    main()

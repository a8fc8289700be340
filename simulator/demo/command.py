"""The options of `smartlb demo`."""

import argparse
import sys
from pathlib import Path

from simulator.demo.settings import Settings
from smartlb.cli.arguments import number, several, whole_number
from smartlb.policies.registry import POLICIES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options to a parser."""
    standard = Settings()
    parser.add_argument(
        "--trace", type=Path, metavar="FILE",
        help="replay a trace: Azure LLM inference or an access log in Common Log Format, also gzipped",
    )  # fmt: skip
    parser.add_argument(
        "--policies", type=several("policy", lambda: POLICIES), default=standard.policies, metavar="NAMES",
        help=f"policies to compare, separated by commas (default: {','.join(standard.policies)})",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=number(4, 3600), default=standard.seconds,
        help="how long each policy is measured (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=number(20, 5000), default=standard.rate,
        help="requests a second; the fleet's load stays the same, their work changes (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--seed", type=whole_number(), default=standard.seed, help="of all random draws (default: %(default)d)"
    )
    parser.add_argument(
        "--output", type=Path, default=standard.output, metavar="DIR",
        help="folder for the results (default: ./%(default)s)",
    )  # fmt: skip
    parser.add_argument("--plain", action="store_true", help="print lines of progress instead of a live view")


def run(args: argparse.Namespace) -> int:
    """Run the demo as `args` say; returns the exit status."""
    # Here, so that the other commands start without what only the demo needs.
    from rich.console import Console

    try:
        from simulator.demo.run import main
    except ModuleNotFoundError as missing:
        needs = "the demo needs packages that are not installed: pip install 'smartlb[demo]'"
        print(f"smartlb: {needs} ({missing.name} is missing)", file=sys.stderr)
        return 2

    console = Console()
    settings = Settings(
        policies=args.policies,
        seconds=args.seconds,
        rate=args.rate,
        seed=args.seed,
        trace=args.trace,
        output=args.output,
        plain=args.plain or not console.is_terminal,
    )
    return main(settings, console)

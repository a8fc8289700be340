"""The options of `smartlb demo`."""

import argparse
from collections.abc import Callable
from pathlib import Path

from smartlb.config.problems import unknown_name
from smartlb.demo.settings import Settings
from smartlb.policies.registry import POLICIES


def _policies(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in POLICIES:
            raise argparse.ArgumentTypeError(unknown_name("policy", name, POLICIES))
    if not names:
        raise argparse.ArgumentTypeError("expected policies' names, separated by commas")
    return names


def _number(least: float, most: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least:g} to {most:g}")
        return value

    return parse


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the demo's options to a parser."""
    standard = Settings()
    parser.add_argument(
        "--trace", type=Path, metavar="FILE",
        help="replay a trace: Azure LLM inference or an access log in Common Log Format, also gzipped",
    )  # fmt: skip
    parser.add_argument(
        "--policies", type=_policies, default=standard.policies, metavar="NAMES",
        help=f"policies to compare, separated by commas (default: {','.join(standard.policies)})",
    )  # fmt: skip
    parser.add_argument(
        "--seconds", type=_number(4, 3600), default=standard.seconds,
        help="how long each policy is measured (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--rate", type=_number(20, 5000), default=standard.rate,
        help="requests a second; the fleet's load stays the same, their work changes (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument("--seed", type=_seed, default=standard.seed, help="of all random draws (default: %(default)d)")
    parser.add_argument(
        "--output", type=Path, default=standard.output, metavar="DIR",
        help="folder for the results (default: ./%(default)s)",
    )  # fmt: skip
    parser.add_argument("--plain", action="store_true", help="print lines of progress instead of a live view")


def run(args: argparse.Namespace) -> int:
    """Run the demo as `args` say; returns the exit status."""
    # Here, so that the other commands start without what only the demo needs.
    from rich.console import Console

    from smartlb.demo.run import main

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

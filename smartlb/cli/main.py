"""The command line: each command's parts are imported only when it is run."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from simulator import command as simulator
from simulator.demo import command as demo
from smartlb import __version__


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: without the program's name; those of the process where not given.

    Returns:
        The exit status: 0 for success, 1 for a failure, 2 for a wrong command line or configuration.
    """
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="smartlb", description="An adaptive HTTP router that learns its backends.")
    parser.add_argument("--version", action="version", version=f"smartlb {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run the router", description="Run the router until SIGTERM.")
    serve.add_argument("file", metavar="FILE", help="configuration, YAML")
    serve.add_argument(
        "--ready-file",
        type=Path,
        metavar="PATH",
        help="write the addresses to this file, as JSON, when the router is ready",
    )
    serve.add_argument(
        "--for-s",
        type=float,
        metavar="SECONDS",
        help="stop after this long; for tests and demonstrations, so that nothing is left running",
    )
    serve.set_defaults(run=_serve)

    check = commands.add_parser(
        "check",
        help="check a configuration",
        description="Report everything that is wrong with a configuration.",
    )
    check.add_argument("file", metavar="FILE", help="configuration, YAML")
    check.set_defaults(run=_check)

    schema = commands.add_parser(
        "schema",
        help="print the configuration's JSON schema",
        description="Print a JSON schema, for editors.",
    )
    schema.set_defaults(run=_schema)

    about_demo = "Compare policies on a fleet of real servers whose machines differ."
    demonstration = commands.add_parser("demo", help="see the learned policy at work", description=about_demo)
    demo.add_arguments(demonstration)
    demonstration.set_defaults(run=demo.run)

    about_simulate = "Run one policy in one scenario, in simulated time."
    simulation = commands.add_parser("simulate", help="run a policy in a scenario", description=about_simulate)
    simulator.add_simulate_arguments(simulation)
    simulation.set_defaults(run=simulator.simulate)

    about_arena = "Compare policies over scenarios and seeds, in simulated time."
    comparison = commands.add_parser("arena", help="compare policies over scenarios", description=about_arena)
    simulator.add_arena_arguments(comparison)
    comparison.set_defaults(run=simulator.arena)

    about_train = "Learn a fleet in simulated time and keep it as a checkpoint, or judge the learner by a log."
    training = commands.add_parser("train", help="make a checkpoint of the learner", description=about_train)
    simulator.add_train_arguments(training)
    training.set_defaults(run=simulator.train)
    return parser


def _serve(options: argparse.Namespace) -> int:
    from smartlb.config.load import load
    from smartlb.config.problems import ConfigError
    from smartlb.supervisor.supervisor import serve
    from smartlb.tls.findings import about_files

    try:
        config = load(options.file)
        remarks = list(about_files(options.file, config))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    for remark in remarks:
        print(remark.text, file=sys.stderr)
    # A certificate that expired must not keep a router with others from starting again.
    if any(remark.level >= logging.CRITICAL for remark in remarks):
        return 2
    return serve(config, Path(options.file), options.ready_file, options.for_s)


def _check(options: argparse.Namespace) -> int:
    from smartlb.cli.commands import check
    from smartlb.process.open_files import hard_limit

    return check(options.file, hard_limit())


def _schema(_options: argparse.Namespace) -> int:
    from smartlb.cli.commands import schema

    return schema()

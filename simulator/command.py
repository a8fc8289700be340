"""The options of `smartlb simulate`, `smartlb arena` and `smartlb train`; what they need is imported when they run."""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from smartlb.cli.arguments import known, output, setting, several, whole_number
from smartlb.config.problems import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.arena import Done
    from simulator.scenario import Scenario

_WIDTH = 120
"""Of what is not written to a terminal."""

_NEEDS = "the simulator needs packages that are not installed: pip install 'smartlb[sim]'"


def _contenders() -> Iterable[str]:
    try:
        from simulator.contenders import CONTENDERS
    except ModuleNotFoundError as missing:
        raise argparse.ArgumentTypeError(f"{_NEEDS} ({missing.name} is missing)") from None
    return CONTENDERS


def add_simulate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `smartlb simulate`."""
    parser.add_argument("scenario", metavar="SCENARIO", help="a built-in scenario's name, or the path of a YAML file")
    parser.add_argument(
        "--policy", type=known("policy", _contenders), default="learned", metavar="NAME",
        help="what routes (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seed", type=whole_number(), default=0, help="of all random draws (default: %(default)d)")
    parser.add_argument(
        "--option", type=setting, action="append", default=[], metavar="KEY=VALUE", help="an option of the policy"
    )
    parser.add_argument("--log", type=output, metavar="OUT", help="write every attempt to this file: .parquet or .csv")
    _add_common(parser)


def add_arena_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `smartlb arena`."""
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO",
        help="names of built-in scenarios or paths of YAML files (default: all built-in ones)",
    )  # fmt: skip
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument(
        "--policies", type=several("policy", _contenders), metavar="NAMES",
        help="what to compare, separated by commas (default: everything there is)",
    )  # fmt: skip
    compared.add_argument(
        "--ablate", action="store_true",
        help="compare the learned policy with itself without one part, or with another model, and with clairvoyant",
    )  # fmt: skip
    parser.add_argument("--seeds", type=whole_number(1), default=5, metavar="N", help="runs of each (default: 5)")
    parser.add_argument(
        "--first-seed", type=whole_number(), default=0, metavar="N", help="the first of them (default: 0)"
    )
    parser.add_argument("--html", type=output, metavar="OUT", help="write a report that stands alone, with pictures")
    parser.add_argument("--parquet", type=output, metavar="OUT", help="write the figures as a table for notebooks")
    parser.add_argument("--jobs", type=int, default=-1, metavar="N", help="runs at once (default: one a core)")
    parser.add_argument(
        "--backend", choices=("loky", "dask", "ray"), default="loky",
        help="where they run: processes of this machine, or a cluster (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--address", metavar="ADDRESS", help="of the cluster's scheduler; none starts one here")
    parser.add_argument(
        "--results", type=Path, default=Path("arena-results"), metavar="DIR",
        help="where finished runs are kept; an arena that was interrupted goes on from there (default: ./%(default)s)",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="list scenarios and policies, and do nothing else")
    _add_common(parser)


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `smartlb train`."""
    parser.add_argument(
        "scenarios", nargs="*", metavar="SCENARIO",
        help="names of built-in scenarios or paths of YAML files, all with one fleet",
    )  # fmt: skip
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="write checkpoint.json, manifest.json and README.md here"
    )
    parser.add_argument("--seeds", type=whole_number(1), default=5, metavar="N", help="runs of each (default: 5)")
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="change a value of the scenarios, such as load.utilisation=0.5",
    )  # fmt: skip
    parser.add_argument(
        "--held-out",
        type=Path,
        metavar="FILE",
        help="scenarios to judge it by (default: held_out.yaml in DIR, if there)",
    )  # fmt: skip
    parser.add_argument("--allow-overload", action="store_true", help="run what the fleet cannot carry")
    parser.add_argument(
        "--offline", type=Path, metavar="LOG",
        help="train nothing, but compare the online model with models fitted to this log at leisure: "
        "of simulate --log, or the router's access log",
    )  # fmt: skip
    parser.add_argument("--json", type=output, metavar="OUT", help="with --offline: write the figures to this file")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="KEY=VALUE", dest="changes",
        help="change a value of the scenario, such as load.utilisation=0.5 or fleet.0.count=20",
    )  # fmt: skip
    parser.add_argument("--json", type=output, metavar="OUT", help="write the figures to this file")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="what the learned policy knows at the start (default: nothing)"
    )
    parser.add_argument(
        "--stand-in", action="store_true", help="generated requests take the place of traces, be they there or not"
    )
    parser.add_argument("--allow-overload", action="store_true", help="run what the fleet cannot carry, with a warning")


def _guarded(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Errors that are for the person at the terminal become words and an exit status."""

    def guarded(options: argparse.Namespace) -> int:
        try:
            from pydantic import ValidationError

            from simulator.measured import MeasuredError
            from simulator.offline import LogError
            from simulator.plan import ImpossibleScenario
            from simulator.workload.traces.reading import TraceError
            from smartlb.learning.checkpoint import CheckpointError
        except ModuleNotFoundError as missing:
            print(f"smartlb: {_NEEDS} ({missing.name} is missing)", file=sys.stderr)
            return 2
        try:
            return run(options)
        except (CheckpointError, ConfigError, ImpossibleScenario, LogError, TraceError, MeasuredError) as error:
            print(error, file=sys.stderr)
            return 2
        except ValidationError as error:
            from simulator.contenders import CONTENDERS
            from smartlb.config.wording import sentence

            for problem in error.errors(include_url=False):
                wrong = sentence(problem, CONTENDERS[options.policy].options, _options(options.option))
                print(f"--option {'.'.join(map(str, problem['loc']))}: {wrong}", file=sys.stderr)
            return 2
        except OSError as error:
            said = [str(part) for part in ("smartlb", error.filename, error.strerror or error) if part]
            print(": ".join(said), file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130

    return guarded


@_guarded
def simulate(options: argparse.Namespace) -> int:
    """Run `smartlb simulate`; returns the exit status."""
    from rich.console import Console
    from rich.progress import Progress

    from simulator.api import run
    from simulator.catalogue import load, path_of
    from simulator.measures.figures import figures
    from simulator.report import files
    from simulator.report.log import write_log
    from simulator.report.single import summary

    name, path = Path(options.scenario).stem, path_of(options.scenario)
    scenario = load(options.scenario, dict(options.changes))
    stand_in = _stands_in(name, scenario, path.parent, options)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{name}, {options.policy}", total=1.0)
        of = run(
            scenario,
            options.policy,
            options.seed,
            _options(options.option),
            name=name,
            folder=path.parent,
            stand_in=stand_in,
            allow_overload=options.allow_overload,
            changed=_changed(options),
            progress=lambda share: progress.update(bar, completed=share),
            checkpoint=options.checkpoint,
        )
    found = figures(of)
    Console().print(summary(scenario.description, of, found), highlight=False)
    if options.json:
        files.write_json(options.json, [found])
    if options.log:
        write_log(options.log, of)
    return 0


@_guarded
def arena(options: argparse.Namespace) -> int:
    """Run `smartlb arena`; returns the exit status: 130 where it was interrupted."""
    from rich.console import Console

    from simulator import ablation
    from simulator.arena import Results, run_all, tasks
    from simulator.catalogue import load, names, path_of
    from simulator.contenders import CONTENDERS
    from smartlb.control.checkpoint_file import read

    if options.list:
        return _list()
    if options.ablate and options.checkpoint:
        print(
            "smartlb arena: --ablate starts from nothing, as a checkpoint is of one model; leave --checkpoint out",
            file=sys.stderr,
        )
        return 2
    scenarios, stands_in = {}, {}
    for given in options.scenarios or names():
        name, path = Path(given).stem, path_of(given)
        scenario = load(given, dict(options.changes))
        scenarios[name] = (scenario, path.parent)
        stands_in[name] = _stands_in(name, scenario, path.parent, options)
    checkpoint = read(options.checkpoint) if options.checkpoint else None
    compared = (
        ablation.tasks
        if options.ablate
        else partial(tasks, policies=options.policies or tuple(CONTENDERS), checkpoint=checkpoint)
    )
    todo = [
        task
        for name, scenario in scenarios.items()
        for task in compared(
            {name: scenario},
            seeds=range(options.first_seed, options.first_seed + options.seeds),
            changed=_changed(options),
            stand_in=stands_in[name],
            allow_overload=options.allow_overload,
        )
    ]
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    found = run_all(todo, Results(options.results), options.jobs, options.backend, options.address)
    done, whole = _followed(found, len(todo))
    _report(options, console, done, {name: scenario.description for name, (scenario, _) in scenarios.items()})
    if not whole:
        print(
            f"interrupted: {len(done)} of {len(todo)} runs are done and kept in {options.results}; "
            "the same command goes on from there",
            file=sys.stderr,
        )
        return 130
    return 0


@_guarded
def train(options: argparse.Namespace) -> int:
    """Run `smartlb train`; returns the exit status."""
    if options.offline is not None:
        return _offline(options)
    if not options.scenarios or options.out is None:
        print("smartlb train: expected scenarios and --out DIR, or --offline LOG", file=sys.stderr)
        return 2
    import json

    from simulator.catalogue import load, path_of
    from simulator.report.card import card, manifest
    from simulator.training import FIRST_SEED, Given, held_out, starts, train
    from smartlb.control.checkpoint_file import write
    from smartlb.learning.checkpoint import to_text

    changed = _changed(options)
    given = [
        Given(Path(name).stem, load(name, dict(options.changes)), path_of(name).parent, changed)
        for name in options.scenarios
    ]
    seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
    out: Path = options.out
    judged_by = options.held_out or (out / "held_out.yaml" if (out / "held_out.yaml").exists() else None)
    held = held_out(judged_by) if judged_by else []
    checkpoint = train(given, seeds, allow_overload=options.allow_overload)
    found = starts(held, checkpoint, range(options.seeds))
    about = {each.name: each.scenario.description for each in given}
    made = manifest(checkpoint, to_text(checkpoint), about, seeds, changed, _train_command(options), found)
    out.mkdir(parents=True, exist_ok=True)
    write(out / "checkpoint.json", checkpoint)
    (out / "manifest.json").write_text(json.dumps(made, indent=2, allow_nan=False) + "\n")
    (out / "README.md").write_text(card(out.resolve().name, checkpoint, made, found))
    for each in found:
        print(
            f"{each.name}: first 30 s, mean {each.cold_mean_ms:.1f} ms cold, {each.warm_mean_ms:.1f} warm; "
            f"p99 {each.cold_p99_ms:.0f} cold, {each.warm_p99_ms:.0f} warm"
        )
    print(f"{out / 'checkpoint.json'}: {sum(len(pool.backends) for pool in checkpoint.pools.values())} backends")
    return 0


def _train_command(options: argparse.Namespace) -> str:
    from shlex import join

    changes = [part for key, value in options.changes for part in ("--set", f"{key}={value}")]
    overload = ["--allow-overload"] if options.allow_overload else []
    held = ["--held-out", str(options.held_out)] if options.held_out else []
    given = [*options.scenarios, "--seeds", str(options.seeds), *changes, *overload, *held]
    return join(["smartlb", "train", *given, "--out", str(options.out)])


def _offline(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from rich.console import Console

    from simulator.offline import compare, read_log
    from simulator.report.yardstick import table

    found = compare(read_log(options.offline))
    Console().print(table(found), highlight=False)
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=2, allow_nan=False) + "\n")
    return 0


def _stands_in(name: str, scenario: "Scenario", folder: Path, options: argparse.Namespace) -> bool:
    """Whether generated requests are to take the place of a scenario's trace; says so where it is not there."""
    from simulator.workload.workload import missing

    why = missing(scenario.workload, folder)
    if why and not options.stand_in:
        print(f"{name}: {why}\n{name}: requests with the same statistics, generated, take its place", file=sys.stderr)
    return options.stand_in or bool(why)


def _followed(found: Iterator["Done"], total: int) -> tuple[list["Done"], bool]:
    """What was found, and whether that is everything."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    done: list[Done] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task("runs", total=total)
        try:
            for each in found:
                done.append(each)
                description = f"{each.figures.scenario}, {each.figures.policy}"
                progress.update(bar, advance=1, description=description)
        except KeyboardInterrupt:
            if not done:
                raise
            return done, False
    return done, True


def _report(
    options: argparse.Namespace, console: "Console", done: Sequence["Done"], descriptions: Mapping[str, str]
) -> None:
    """Show what was found, and write the files that were asked for."""
    from simulator.contenders import TOLD
    from simulator.measures.cast import Cast
    from simulator.references.registry import REFERENCES
    from simulator.report import ablation, files, html
    from simulator.report.table import report

    cast = Cast(told=frozenset(TOLD), references=frozenset(REFERENCES) - {"clairvoyant"})
    ordered = sorted(done, key=lambda each: (list(descriptions).index(each.figures.scenario), each.figures.seed))
    figures = [each.figures for each in ordered]
    console.print(report(figures, cast, console.width), highlight=False)
    if options.ablate:
        console.print(ablation.table(figures, cast), highlight=False)
    if options.json:
        files.write_json(options.json, figures)
    if options.parquet:
        files.write_parquet(options.parquet, figures)
    if options.html:
        sources = {each.scenario: each.source for each in figures}
        about = {name: html.About(text, sources.get(name, "")) for name, text in descriptions.items()}
        curves = [each.curves for each in ordered]
        files.write_html(options.html, html.page(figures, curves, cast, about, _facts(options)))


def _facts(options: argparse.Namespace) -> dict[str, str]:
    """With what a report was made, and when."""
    import platform
    from datetime import UTC, datetime
    from importlib.metadata import version

    changed = _changed(options)
    return {
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "seeds": f"{options.seeds}, from {options.first_seed} on",
        **({"changed": changed} if changed else {}),
        **{name: version(name) for name in ("smartlb", "river", "numpy", "numba")},
        "Python": platform.python_version(),
    }


def _list() -> int:
    from simulator.catalogue import load, names
    from simulator.contenders import CONTENDERS

    print("scenarios:")
    for name in names():
        print(f"  {name:<20} {load(name).description}")
    print("policies:")
    for name in CONTENDERS:
        print(f"  {name}")
    return 0


def _changed(options: argparse.Namespace) -> str:
    """What was changed, for the report."""
    return " ".join(f"{key}={value}" for key, value in [*options.changes, *getattr(options, "option", [])])


def _options(given: Sequence[tuple[str, str]]) -> dict[str, object]:
    """A policy's options, with values as in YAML."""
    from smartlb.config.document import Document

    return {key: Document(value, f"--option {key}={value}").data for key, value in given}

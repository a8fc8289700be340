"""What the simulator may know of the router, of heavy packages, and of the world."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import simulator

ROOT = Path(simulator.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

OF_THE_ROUTER: tuple[str, ...] = ("core", "policies", "learning", "config", "cli.arguments", "control.ejection")
OF_THE_ROUTER += ("control.rise_fall", "control.checkpoint_file")
"""What the simulator runs is pure; it has no use for sockets, processes and the like."""

DEMO = ("demo",)
OF_THE_ROUTER_FOR_THE_DEMO = ("cli.arguments", "policies.registry")
"""The demo runs routers as anyone would, as processes with a configuration file: it knows what policies are called."""

PURE: tuple[str, ...] = ("kernel", "references", "faults", "workload", "measures")
PURE += ("agenda.py", "checks.py", "contenders.py", "fleet.py", "plan.py", "result.py", "simulation.py", "streams.py")
PURE += ("telemetry.py", "generator.py")
READS = ("workload/traces",)
"""Within a pure part, what reads files."""

WORLD = {"asyncio", "datetime", "io", "os", "pathlib", "random", "secrets", "shutil", "socket", "subprocess"}
WORLD |= {"multiprocessing", "tempfile", "threading", "time"}
EXCEPT = {
    "kernel/compiling.py": {"os", "pathlib.Path", "shutil.rmtree"},  # keeps what it compiled
    "simulation.py": {"time.perf_counter"},  # how long a run took
    # Where a trace is, handed on to what reads it.
    "workload/replayed.py": {"pathlib.Path"},
    "workload/rules.py": {"pathlib.Path"},
    "workload/workload.py": {"pathlib.Path"},
}

HEAVY = {"distributed", "joblib", "matplotlib", "numba", "pandas", "pyarrow", "river", "scipy", "sklearn"}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a file imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}"


def within(path: Path, parts: tuple[str, ...]) -> bool:
    name = path.relative_to(ROOT).as_posix()
    return any(name == part or name.startswith(f"{part}/") for part in parts)


every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
every_pure_file = pytest.mark.parametrize(
    "path",
    [path for path in FILES if within(path, PURE) and not within(path, READS)],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)


def test_the_parts_are_there() -> None:
    assert all((ROOT / part).exists() for part in (*PURE, *READS, *EXCEPT, *DEMO))


@every_file
def test_knows_only_the_pure_parts_of_the_router(path: Path) -> None:
    known = OF_THE_ROUTER_FOR_THE_DEMO if within(path, DEMO) else OF_THE_ROUTER
    allowed = tuple(f"smartlb.{part}" for part in known)
    against = [
        f"{path}:{line}: {name}"
        for line, name in imports(path)
        if name.startswith("smartlb.") and not any(f"{name}.".startswith(f"{part}.") for part in allowed)
    ]
    assert not against, "\n".join(against)
    assert not {name.partition(".")[0] for _, name in imports(path)} & {"benchmarks", "tests"}


@every_file
def test_the_demo_and_what_simulates_know_nothing_of_each_other(path: Path) -> None:
    demo = within(path, DEMO)
    against = [
        f"{path}:{line}: {name}"
        for line, name in imports(path)
        if name.startswith("simulator") and f"{name}.".startswith("simulator.demo.") != demo
    ]
    assert not against, "\n".join(against)


@every_pure_file
def test_pure_parts_know_nothing_of_the_world(path: Path) -> None:
    allowed = EXCEPT.get(path.relative_to(ROOT).as_posix(), set())
    against = [
        f"{path}:{line}: {name}; time, randomness and I/O are arguments here"
        for line, name in imports(path)
        if name.partition(".")[0] in WORLD and name not in allowed
    ]
    assert not against, "\n".join(against)


@every_file
def test_randomness_is_seeded(path: Path) -> None:
    """No file uses numpy's global generator, or makes one that nobody can make again."""
    against = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("np.random", "numpy.random"):
            if node.attr not in ("Generator", "default_rng"):
                against.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
        elif isinstance(node, ast.Call) and ast.unparse(node).endswith("default_rng()"):
            against.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    assert not against, "\n".join(against)


@pytest.mark.parametrize(
    "module",
    ["simulator.command", "simulator.demo.command", "smartlb.cli.main", "simulator.agenda", "simulator.streams"],
)
def test_commands_load_nothing_heavy_before_they_run(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT.parent, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []

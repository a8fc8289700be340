import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import smartlb
from tests.circles import circles

ROOT = Path(smartlb.__file__).parent

ORDER = (
    "compiled",
    "__init__",
    "core",
    "limits",
    "wire",
    "policies",
    "learning",
    "config",
    "tls",
    "process",
    "ports",
    "http2",
    "routing",
    "stages",
    "upstream",
    "exchange",
    "downstream",
    "layer4",
    "worker",
    "control",
    "admin",
    "supervisor",
    "cli",
    "__main__",
)
"""The folders of smartlb: each may import only what stands before it."""

PURE = {"core", "limits", "wire", "policies", "learning"}
IMPURE = {"asyncio", "datetime", "os", "random", "secrets", "socket", "subprocess", "threading", "time"}
HEAVY = {"numba", "pandas", "sklearn", "matplotlib", "river"}


def part_of(path: Path) -> str:
    """The package or module of smartlb that a file belongs to."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


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


FILES = sorted({*ROOT.rglob("*.py"), *ROOT.rglob("*.pyi")})


def test_every_part_has_its_place() -> None:
    assert {part_of(path) for path in FILES} == set(ORDER)


def test_the_page_has_the_order() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\|[^|]*\| `(\w+)(?:\.py)?` \|", page, re.MULTILINE)
    assert tuple(rows) == tuple(part for part in ORDER if not part.startswith("__"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    part = part_of(path)
    allowed = set(ORDER[: ORDER.index(part) + 1])
    found = [(line, name.split(".")) for line, name in imports(path)]
    against = [
        f"{path}:{line}: {part} imports {parts[1]}"
        for line, parts in found
        if parts[0] == "smartlb" and len(parts) > 1 and parts[1] in ORDER and parts[1] not in allowed
    ]
    assert not against, "\n".join(against)
    others = {parts[0] for _, parts in found} - {"smartlb"}
    assert not others & {"benchmarks", "tests"}
    assert "simulator" not in others or part == "cli", "only commands that run the simulator know it"
    if part == "core":
        assert others - {"numpy"} <= sys.stdlib_module_names
    if part in PURE:
        assert not others & IMPURE, "time, randomness and I/O are arguments here"


def test_no_circle_between_files() -> None:
    assert circles(ROOT) == []


def test_one_file_knows_the_library_that_speaks_http2() -> None:
    libraries = {"ngh2", "h2", "hyperframe", "hpack"}
    knowing = [path for path in FILES if libraries & {name.split(".")[0] for _, name in imports(path)}]
    assert knowing == [ROOT / "http2" / "session.py"]


CYTHON = sorted({*ROOT.rglob("*.pyx"), *ROOT.rglob("*.pxd")})
CYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import|c?import\s+([\w.]+))", re.MULTILINE)


@pytest.mark.parametrize("path", CYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_of_cython_sources_point_one_way(path: Path) -> None:
    part = part_of(path)
    allowed = set(ORDER[: ORDER.index(part) + 1])
    names = [(one or other).split(".") for one, other in CYTHON_IMPORT.findall(path.read_text())]
    assert not [name for name in names if name[0] == "smartlb" and name[1] not in allowed]
    assert part not in PURE or not {name[0] for name in names} & IMPURE, "time, randomness and I/O are arguments here"


@pytest.mark.parametrize("module", ["smartlb", "smartlb.worker.process", "smartlb.supervisor.supervisor"])
def test_serving_loads_nothing_heavy(module: str) -> None:
    program = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT.parent, check=True, capture_output=True, text=True)
    assert done.stdout.split() == []

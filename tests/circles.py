"""Circles of files that import each other: those for types alone count, and so do `cimport`s of Cython."""

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

_CIMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+c?import[ \t]+(\([^)]*\)|[^\n#]+)|c?import[ \t]+([\w., \t]+))", re.M
)


def circles(folder: Path) -> list[list[str]]:
    """Groups of modules of a package, or of a folder within one, each of which can be reached from each other.

    Args:
        folder: of the package. A module's files (``.py``, ``.pyx``, ``.pxd``, ``.pyi``) count as one.

    Returns:
        The dotted names of each group, sorted; none for a package without a circle.
    """
    root = _root(folder)
    files = [path for end in ("py", "pyx", "pxd", "pyi") for path in folder.rglob(f"*.{end}")]
    modules = {_module(path, root) for path in files}
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for path in files:
        module = _module(path, root)
        graph[module] |= {found for name in imported(path) if (found := _nearest(name, modules))} - {module}
    return sorted(sorted(group) for group in _groups(graph) if len(group) > 1)


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all that a file imports, wherever it does so; of ``from a import b`` it is ``a.b``."""
    text = path.read_text()
    if path.suffix in (".pyx", ".pxd"):
        for origin, names, plain in _CIMPORT.findall(text):
            for name in (names or plain).strip("()").split(","):
                if bare := name.strip().partition(" ")[0]:
                    yield f"{origin}.{bare}" if origin else bare
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _root(folder: Path) -> Path:
    """The folder in which the package lies that this one is, or is part of."""
    while (folder / "__init__.py").exists():
        folder = folder.parent
    return folder


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _nearest(name: str, modules: set[str]) -> str | None:
    """The module that a dotted name is of; an imported name may be an attribute."""
    return name if name in modules else next((base for base in [name.rpartition(".")[0]] if base in modules), None)


def _groups(graph: Mapping[str, set[str]]) -> Iterator[set[str]]:
    """Strongly connected components: who reaches each other."""
    reach = {module: _reachable(graph, module) for module in graph}
    left = set(graph)
    while left:
        module = left.pop()
        group = {module} | {other for other in reach[module] if module in reach[other]}
        left -= group
        yield group


def _reachable(graph: Mapping[str, set[str]], module: str) -> set[str]:
    found: set[str] = set()
    ahead = [module]
    while ahead:
        for following in graph[ahead.pop()] - found:
            found.add(following)
            ahead.append(following)
    return found

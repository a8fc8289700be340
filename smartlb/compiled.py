"""What is to be compiled is, for this Python, and from the sources as they are: looked at once a process.

A module with C types is a file ``.pyx``, or a ``.py`` with a ``.pxd`` beside it. Python would run such a ``.py`` as it
stands where the compiled module is missing: slower by far, and without the width of its integers. And it would run what
was compiled from an earlier source without a word.
"""

import os
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from pathlib import Path
from typing import NamedTuple


class _Module(NamedTuple):
    """A module that is to be compiled, or that is.

    Attributes:
        name: as it is imported.
        sources: what it is compiled from.
        binaries: what it was compiled to, for whichever Python.
    """

    name: str
    sources: tuple[Path, ...]
    binaries: tuple[Path, ...]

    def fitting(self) -> Path | None:
        """The one that this Python would load."""
        stem = self.name.rpartition(".")[2]
        return next((path for path in self.binaries if path.name.removeprefix(stem) in EXTENSION_SUFFIXES), None)


def check(package: Path) -> None:
    """Look at the modules of a package.

    Args:
        package: its folder.

    Raises:
        ImportError: a module is missing, does not fit or is older than its source; the message is one line, and says
            what to do.
    """
    tree = package.parent
    in_tree = (tree / "setup.py").exists()
    remedy = (
        f"run `make build` or `pip install -e .` in {tree}" if in_tree else "install smartlb again with this Python"
    )
    found = list(_modules(package))
    for module in found:
        if module.sources and module.fitting() is None:
            here = EXTENSION_SUFFIXES[0].strip(".").partition(".")[0]
            others = " and ".join(path.name.split(".", 1)[1].removesuffix(path.suffix) for path in module.binaries)
            was = f"compiled for {others}, and this Python is {here}" if others else "not compiled"
            raise ImportError(f"{module.name} is {was}: {remedy}")
    if in_tree:
        changed = _changed(found, tree / "build" / "compiled")
        if changed is not None:
            raise ImportError(f"{changed.relative_to(tree)} has changed since it was compiled: {remedy}")
    for module in found[:1]:
        _load(module, remedy)


def _modules(package: Path) -> Iterator[_Module]:
    for folder, inner, files in os.walk(package):
        inner[:] = sorted(name for name in inner if name != "__pycache__")
        prefix = ".".join(Path(folder).relative_to(package.parent).parts)
        kinds: dict[str, list[str]] = {}
        for name in files:
            stem, _, kind = name.partition(".")
            kinds.setdefault(stem, []).append(kind)
        for stem in sorted(kinds):
            binaries = [kind for kind in kinds[stem] if kind.endswith(("so", "pyd"))]
            sources = [kind for kind in ("pyx", "pxd", "py") if kind in kinds[stem]]
            typed = "pyx" in sources or {"pxd", "py"} <= set(sources)
            if typed or binaries:
                yield _Module(
                    f"{prefix}.{stem}",
                    tuple(Path(folder, f"{stem}.{kind}") for kind in sources) if typed else (),
                    tuple(Path(folder, f"{stem}.{kind}") for kind in sorted(binaries)),
                )


def _changed(modules: list[_Module], stamp: Path) -> Path | None:
    """A source that is newer than what was compiled, or a compiled module that has no source any more."""
    made_s = stamp.stat().st_mtime if stamp.exists() else float("-inf")
    for module in modules:
        if not module.sources:
            return module.binaries[0]
        for path in module.sources:
            if path.stat().st_mtime > made_s:
                return path
    return None


def _load(module: _Module, remedy: str) -> None:
    """Have the system load a module, which is not run: another processor's, or another C library's, is refused here."""
    path = str(module.fitting())
    loader = ExtensionFileLoader(module.name, path)
    try:
        loader.create_module(ModuleSpec(module.name, loader, origin=path))
    except ImportError as error:
        raise ImportError(f"{module.name}, as it was compiled, does not fit this machine ({error}): {remedy}") from None

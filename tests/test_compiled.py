"""What is said when compiled modules are missing, do not fit, or are older than their sources."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import smartlb
from smartlb.compiled import check

HERE = EXTENSION_SUFFIXES[0]
ROOT = Path(smartlb.__file__).parents[1]


def made(root: Path, files: Iterable[str]) -> Path:
    """A package of some files, each of which could be loaded where it is a compiled module."""
    package = root / "pack"
    for name in files:
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".so"):
            shutil.copy(loadable(), path)
        else:
            path.touch()
    return package


def loadable() -> str:
    """Some compiled module."""
    import pydantic_core

    return str(pydantic_core._pydantic_core.__file__)


def said(package: Path) -> str:
    with pytest.raises(ImportError) as error:
        check(package)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("files", [["__init__.py", "plain.py"], ["types_alone.pxd"]])
def test_packages_with_nothing_compiled(tmp_path: Path, files: list[str]) -> None:
    check(made(tmp_path, files))


@pytest.mark.parametrize("sources", [["a/m.py", "a/m.pxd"], ["a/m.pyx"]])
def test_a_module_that_is_not_compiled(tmp_path: Path, sources: list[str]) -> None:
    assert said(made(tmp_path, sources)) == "pack.a.m is not compiled: install smartlb again with this Python"
    (tmp_path / "setup.py").touch()
    assert said(tmp_path / "pack") == (
        f"pack.a.m is not compiled: run `make build` or `pip install -e .` in {tmp_path}"
    )


def test_a_module_for_another_python(tmp_path: Path) -> None:
    package = made(tmp_path, ["m.py", "m.pxd", "m.cpython-39-sparc-linux-gnu.so"])
    here = HERE.split(".")[1]
    assert said(package).startswith(f"pack.m is compiled for cpython-39-sparc-linux-gnu, and this Python is {here}: ")


@pytest.mark.parametrize("garbage", [b"", b"garbage", b"\x7fELF garbage"])
def test_a_module_that_the_system_does_not_load(tmp_path: Path, garbage: bytes) -> None:
    package = made(tmp_path, ["m.py", "m.pxd"])
    (package / f"m{HERE}").write_bytes(garbage)
    assert said(package).startswith("pack.m, as it was compiled, does not fit this machine (")


def test_sources_of_a_tree_that_have_changed(tmp_path: Path) -> None:
    (tmp_path / "setup.py").touch()
    stamp = tmp_path / "build" / "compiled"
    stamp.parent.mkdir()
    package = made(tmp_path, ["m.py", "m.pxd", "plain.py", f"m{HERE}"])
    assert said(package).startswith("pack/m.pxd has changed since it was compiled: run `make build`")
    stamp.touch()
    later_s = stamp.stat().st_mtime + 1.0
    os.utime(package / "plain.py", (later_s, later_s))
    os.utime(package / "m.py", (later_s, later_s))
    assert said(package).startswith("pack/m.py has changed since it was compiled")
    (package / "m.pxd").unlink()
    assert said(package).startswith(f"pack/m{HERE} has changed since it was compiled")


def test_an_installed_module_may_be_older_than_its_source(tmp_path: Path) -> None:
    package = made(tmp_path, ["m.py", "m.pxd", f"m{HERE}"])
    os.utime(package / f"m{HERE}", (0.0, 0.0))
    with pytest.raises(ImportError, match="does not fit this machine"):  # it is another module's
        check(package)


def test_without_a_compiler_the_build_says_what_to_install(tmp_path: Path) -> None:
    shutil.copy(ROOT / "setup.py", tmp_path)
    made(tmp_path, ["x.py"]).rename(tmp_path / "smartlb")
    (tmp_path / "smartlb" / "m.pyx").write_text("one = 1\n")
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=tmp_path,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "error: smartlb is compiled, and there is no C compiler: gcc is not found. Install them:" in done.stderr
    assert "apt-get install gcc" in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_needs_cython_to_run() -> None:
    program = (
        "import pkgutil, importlib, sys\n"
        "sys.modules['cython'] = sys.modules['Cython'] = None\n"
        "import smartlb\n"
        "for found in pkgutil.walk_packages(smartlb.__path__, 'smartlb.'):\n"
        "    if not found.name.endswith('__main__'): importlib.import_module(found.name)\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)

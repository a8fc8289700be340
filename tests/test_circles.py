"""Files of a package import one way."""

from pathlib import Path

import simulator
from tests.circles import circles, imported


def test_no_files_of_the_simulator_import_each_other() -> None:
    assert circles(Path(simulator.__file__).parent) == []


def package(folder: Path, **files: str) -> Path:
    """A package `box` with these files; two underscores stand for the dot of an ending."""
    box = folder / "box"
    box.mkdir()
    for name, text in {"__init____py": "", **files}.items():
        stem, _, ending = name.rpartition("__")
        (box / f"{stem}.{ending}").write_text(text)
    return box


def test_a_circle_is_found_however_long(tmp_path: Path) -> None:
    box = package(
        tmp_path,
        a__py="from box.b import x",
        b__py="import box.c",
        c__py="def f():\n    from box import a",
        d__py="from box import a\nfrom box.c import f",
    )
    assert circles(box) == [["box.a", "box.b", "box.c"]]


def test_imports_for_types_alone_count(tmp_path: Path) -> None:
    for_types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from box.b import x"
    box = package(tmp_path, a__py=for_types, b__py="from box.a import y")
    assert circles(box) == [["box.a", "box.b"]]


def test_the_files_of_a_compiled_module_are_one(tmp_path: Path) -> None:
    box = package(
        tmp_path,
        a__pyx="from libc.math cimport exp\nfrom box.b cimport x",
        b__pxd="cdef int x()",
        b__pyx="cimport box.c",
        c__pyi="from box.a import Y",
        c__pyx="",
    )
    assert circles(box) == [["box.a", "box.b", "box.c"]]


def test_a_package_and_its_own_files_are_one_way(tmp_path: Path) -> None:
    box = package(tmp_path, a__py="from box.b import x", b__py="import os\nfrom collections import abc")
    assert circles(box) == []
    (box / "__init__.py").write_text("from box.a import x")
    assert circles(box) == []
    (box / "b.py").write_text("from box import x")
    assert circles(box) == [["box", "box.a", "box.b"]]


def test_names_in_cython_source_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.pyx"
    path.write_text(
        "from box.b cimport (\n    x,\n    y as z,\n)\nimport box.c as c, box.d\n"
        "cdef int f(): # from here import nothing\n    from box.e import g  # why\n"
    )
    assert sorted(imported(path)) == ["box.b.x", "box.b.y", "box.c", "box.d", "box.e.g"]

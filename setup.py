"""Which modules are compiled, and how: those with a ``.pxd`` of C types beside them, and those in Cython (``.pyx``)."""

import os
import shutil
import sysconfig
import time
from pathlib import Path
from typing import Final

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import PlatformError

BEGAN_S: Final = time.time()

PACKAGE: Final = Path("smartlb")
STAMP: Final = Path("build", "compiled")
"""Touched when the modules of this source tree were compiled; `smartlb.compiled` looks at it."""

FLAGS: Final = ["-O2", "-g0", "-fno-semantic-interposition", "-Wno-unused-function", "-Wno-array-bounds"]

DIRECTIVES: Final = {"initializedcheck": False, "embedsignature": False}
"""Indices are checked, as what comes from the network is; files that do without say so in their first line."""

TOOLS: Final = """\
smartlb is compiled, and {missing}. Install them:
  Debian, Ubuntu   apt-get install gcc libc6-dev python3-dev
  Fedora           dnf install gcc python3-devel
  Alpine           apk add gcc musl-dev python3-dev
  macOS            xcode-select --install
or name another compiler in the environment variable CC."""


def sources() -> list[Path]:
    """What is compiled."""
    typed = {path.with_suffix(".py") for path in PACKAGE.rglob("*.pxd")}
    return sorted({path for path in typed if path.exists()} | set(PACKAGE.rglob("*.pyx")))


def extensions(processes: int) -> list[Extension]:
    """The modules' C sources, written again where a source or what it takes types from has changed."""
    modules = [
        Extension(".".join(path.with_suffix("").parts), [str(path)], extra_compile_args=FLAGS) for path in sources()
    ]
    return cythonize(
        modules,
        build_dir="build/cython",
        nthreads=processes if len(modules) > 1 else 0,
        force=flags_changed() or None,
        language_level=3,
        compiler_directives=DIRECTIVES,
    )


def flags_changed() -> bool:
    """Whether this file has changed since the source tree was compiled."""
    return STAMP.exists() and STAMP.stat().st_mtime < Path("setup.py").stat().st_mtime


def remove_others(folder: Path, suffix: str) -> None:
    """Remove compiled modules whose source is gone: they would be imported all the same."""
    sourced = {path.with_suffix("") for path in sources()}
    for path in folder.joinpath(PACKAGE).rglob("*" + suffix):
        module = path.relative_to(folder)
        if module.with_name(module.name.partition(".")[0]) not in sourced:
            path.unlink()


class Compile(build_ext):
    """Compiles as many modules at a time as there are processors, and says what to install where it cannot."""

    def finalize_options(self) -> None:
        """Take the number of processes and the need to compile everything from where we are."""
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count() or 1
        self.force = self.force or flags_changed()
        if self.inplace:
            # Not in folders that pip makes for each installation, where all would be compiled again.
            self.build_lib, self.build_temp = "build/inplace", "build/temp"

    def run(self) -> None:
        """Compile, and note when where the modules stay beside their sources."""
        super().run()
        if self.inplace:
            remove_others(Path(), ".so")
            STAMP.parent.mkdir(exist_ok=True)
            STAMP.touch()
            # What was edited in the meantime may or may not have been read.
            os.utime(STAMP, (BEGAN_S, BEGAN_S))

    def build_extensions(self) -> None:
        """Compile, once it is clear that it can be done."""
        compiler = self.compiler.compiler_so[0]
        if shutil.which(compiler) is None:
            raise PlatformError(TOOLS.format(missing=f"there is no C compiler: {compiler} is not found"))
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            raise PlatformError(TOOLS.format(missing="the C headers of this Python (Python.h) are not there"))
        super().build_extensions()


class Copy(build_py):
    """Copies the sources into a wheel's folder, in which nothing of an earlier build is left."""

    def run(self) -> None:
        """Copy."""
        if not self.editable_mode:
            folder = Path(self.build_lib)
            for path in folder.rglob("*"):
                if path.is_file() and path.suffix != ".so":
                    path.unlink()
            remove_others(folder, ".so")
        super().run()


# Python starts the processes that Cython works in from this file.
if __name__ == "__main__":
    setup(ext_modules=extensions(os.cpu_count() or 1), cmdclass={"build_ext": Compile, "build_py": Copy})

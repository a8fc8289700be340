"""Which modules are compiled: those with a ``.pxd`` of C types beside them, and those written in Cython (``.pyx``)."""

from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

_FLAGS = ["-O2", "-g0", "-fno-semantic-interposition", "-Wno-unused-function", "-Wno-array-bounds"]


def _extensions() -> list[Extension]:
    sources = {path.with_suffix(".py") for path in Path("smartlb").rglob("*.pxd")}
    sources = {path for path in sources if path.exists()} | set(Path("smartlb").rglob("*.pyx"))
    return [
        Extension(".".join(path.with_suffix("").parts), [str(path)], extra_compile_args=_FLAGS)
        for path in sorted(sources)
    ]


setup(
    ext_modules=cythonize(
        _extensions(),
        build_dir="build/cython",
        language_level=3,
        compiler_directives={"initializedcheck": False, "embedsignature": False},
    )
)

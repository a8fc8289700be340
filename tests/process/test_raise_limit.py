"""The limit of open files, in a process of its own."""

import subprocess
import sys

import pytest

_PROGRAM = """
import resource
from smartlb.process import open_files

resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
assert (open_files.limit(), open_files.hard_limit()) == (100, 300)
open_files.raise_limit()
assert (open_files.limit(), open_files.hard_limit()) == (300, 300)
open_files.raise_limit()
def refuse(*_): raise ValueError("not allowed to raise maximum limit")
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300))
resource.setrlimit = refuse
open_files.raise_limit()
assert open_files.limit() == 100
"""


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "the limit of open files stays at 100: not allowed to raise maximum limit" in done.stderr


def test_no_limit_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    from smartlb.process import open_files

    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert open_files.limit() == open_files.hard_limit() == sys.maxsize

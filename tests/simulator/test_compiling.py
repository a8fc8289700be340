"""What is compiled and kept on disk is never taken for something else of the same name."""

import subprocess
import sys
from pathlib import Path

import pytest

from simulator.kernel.compiling import digest

POLICY = """
from smartlb.policies.policy import Policy

FIRST = {first}

def choose(pool):
    return pool.eligible[0] if FIRST else pool.eligible[len(pool.eligible) - 1]

def pick(pool, _memory, _request_class, _key, _now_s, _draws):
    return choose(pool)

POLICY = Policy(name="mine", pick=pick)
"""

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import mine
from simulator.contenders import Contender
from simulator.plan import plan
from simulator.scenario import Scenario
from simulator.simulation import simulate
from simulator.streams import streams
from simulator.workload.workload import prepare
from tests.simulator.scenarios import scenario

given = Scenario.model_validate(scenario())
demand = prepare(given.workload, None, streams(0))
run = simulate(plan("test", given, demand, 0), Contender("mine", mine.POLICY, mine.POLICY.options(), False))
print(*sorted(set(run.log["backend"].tolist())))
"""


def picked(folder: Path, first: bool) -> str:
    (folder / "mine.py").write_text(POLICY.format(first=first))
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(folder)], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_policy_that_changed_and_kept_its_name_is_compiled_anew(tmp_path: Path) -> None:
    assert picked(tmp_path, first=True) == "0"
    assert picked(tmp_path, first=False) == "1"


def inner(x: int) -> int:
    return x + 1


def outer(x: int) -> int:
    return inner(x)


def test_the_digest_sees_what_a_function_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest(outer)
    digest.cache_clear()
    assert digest(outer) == before
    digest.cache_clear()
    monkeypatch.setitem(globals(), "inner", lambda x: x + 2)
    assert digest(outer) != before
    digest.cache_clear()

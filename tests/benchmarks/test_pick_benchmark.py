import json
from pathlib import Path

import pytest

from benchmarks.pick import BACKENDS, main
from smartlb.policies.registry import POLICIES


def test_every_policy_is_measured_for_every_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "pick.json"
    main(["--rounds", "1", "--json", str(out)])
    rows = json.loads(out.read_text())
    measured = {(row["policy"], row["backends"], row["barred"]) for row in rows}
    assert measured >= {(name, size, out) for name in POLICIES for size in BACKENDS for out in (0, size // 10)}
    for row in rows:
        assert 0 < row["pick_us"]["min"] <= row["pick_us"]["median"] <= row["pick_us"]["max"]
        policy = POLICIES[row["policy"].partition(",")[0]]
        assert (row["observe_us"] is not None) == (policy.observe is not None)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 1 + len(rows)

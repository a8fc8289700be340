from collections import Counter
from random import Random

from smartlb.stages.split import Split


def test_shares_are_kept_and_keys_stay() -> None:
    split = Split(
        {"stable": 95, "canary": 5, "off": 0},
        {"stable": "S", "canary": "C", "off": "O"},
        by_client=False,
        random=Random(1),
    )
    counts = Counter(split.pool() for _ in range(10_000))
    assert set(counts) == {"S", "C"}
    assert 400 < counts["C"] < 600
    assert all(split.pool(key) == split.pool(key) for key in range(100))
    assert 20 < sum(split.pool(Random(key).getrandbits(64)) == "C" for key in range(1_000)) < 90

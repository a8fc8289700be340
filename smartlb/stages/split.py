"""Routes that spread their requests over several pools, such as a stable and a canary one."""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

Pool = TypeVar("Pool")

_KEYS = 2**64
_SCATTER = 0x9E37_79B9_7F4A_7C15
"""2**64 over the golden ratio, made odd: without it a pool that hashes the same key would see an arc of its ring only
(D. Knuth, The Art of Computer Programming, volume 3, section 6.4)."""


class Split(Generic[Pool]):
    """Chooses a pool by configured shares.

    Args:
        shares: of each pool by name, relative to the sum.
        pools: by name.
        random: its random numbers are for requests without a key.
    """

    def __init__(self, shares: Mapping[str, float], pools: Mapping[str, Pool], random: Random) -> None:
        given = {name: share for name, share in shares.items() if share > 0.0}
        self._pools = [pools[name] for name in given]
        total = sum(given.values())
        # The last pool takes what is above all bounds, so no rounding leaves a gap.
        self._bounds = list(accumulate(share / total for share in given.values()))[:-1]
        self._random = random.random

    def pool(self, key: int | None = None) -> Pool:
        """A pool.

        Args:
            key: hash of 64 bits of what stays with one pool; None chooses anew. When a share grows, keys move only
                over the bounds that it moves.
        """
        at = self._random() if key is None else key * _SCATTER % _KEYS / _KEYS
        return self._pools[bisect_right(self._bounds, at)]

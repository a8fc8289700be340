"""Which clients come and which URLs they ask for: few of them often, many of them seldom."""

import hashlib

import numpy as np
import numpy.typing as npt
from pydantic import Field

from simulator.streams import Stream
from smartlb.config.model import Section

Keys = npt.NDArray[np.uint64]
"""Hashes of clients or of URLs."""

_MOST_REMEMBERED = 100_000


class Popularity:
    """Keys that are drawn by Zipf's law: the k-th most popular with a probability proportional to ``k ** -skew``.

    Args:
        count: how many there are.
        skew: exponent; 0 makes all alike.
        salt: a number of their own, so that clients and URLs differ.
    """

    def __init__(self, count: int, skew: float, salt: int) -> None:
        ranks = np.arange(1, count + 1)
        self._keys = _mixed(ranks.astype(np.uint64) + np.uint64(salt << 40))
        share = np.cumsum(ranks.astype(np.float64) ** -skew)
        self._up_to = share / share[-1]

    def draw(self, rng: np.random.Generator, n: int) -> Keys:
        """Draw the keys of `n` requests."""
        drawn = np.searchsorted(self._up_to, rng.random(n), side="right")
        return self._keys[np.minimum(drawn, len(self._keys) - 1)]


def _mixed(numbers: Keys) -> Keys:
    """Numbers made to look random, none like another; the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


class HashKeys(dict[str, int]):
    """The 64-bit hash of a text, by subscription, as the router computes it; 0 of an empty one.

    The texts seen last are remembered.
    """

    def __missing__(self, text: str) -> int:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
        key = self[text] = int.from_bytes(digest, "big") if text else 0
        return key


class Visitors(Section):
    """The part of a workload that says who comes, and what for."""

    clients: int = Field(default=1000, ge=1, le=10_000_000, description="Clients that differ, some more frequent.")
    urls: int = Field(default=500, ge=1, le=10_000_000, description="URLs that differ, some more popular.")
    skew: float = Field(
        default=1.0, ge=0, le=10, description="Zipf's exponent, for clients as for URLs; 0 makes all alike."
    )

    def visitors(self, stream: Stream, unread: frozenset[str]) -> list[tuple[str, Popularity, np.random.Generator]]:
        """For each column of keys that is read: its name, what there is to draw, and what draws."""
        columns = (("client", self.clients, "clients"), ("url", self.urls, "urls"))
        return [
            (column, Popularity(count, self.skew, salt), stream(name))
            for salt, (column, count, name) in enumerate(columns, 1)
            if column not in unread
        ]

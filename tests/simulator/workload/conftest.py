import zlib
from collections.abc import Callable

import numpy as np
import pytest

Streams = Callable[[int], Callable[[str], np.random.Generator]]


@pytest.fixture
def streams() -> Streams:
    """Random generators by name, for a seed."""

    def seeded(seed: int) -> Callable[[str], np.random.Generator]:
        return lambda name: np.random.default_rng([seed, zlib.crc32(name.encode())])

    return seeded

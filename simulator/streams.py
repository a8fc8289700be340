"""Independent random streams from one seed, by name: what draws more from one changes nothing in the others."""

from collections.abc import Callable
from zlib import crc32

import numpy as np

Stream = Callable[[str], np.random.Generator]
"""``stream(name)`` is the generator of that name, at its beginning; each call makes a new one.

Of a workload: ``arrivals``, ``classes``, ``clients``, ``urls``, ``fail``, ``tail``, ``router``, ``work.CLASS``,
``input.CLASS``, ``output.CLASS``, ``noise.CLASS``, and of traces ``trace``, ``ticks`` and ``noise``. So a change of one
part of a workload leaves the draws of all others as they were.
"""


def streams(seed: int) -> Stream:
    """All streams of a seed."""

    def stream(name: str) -> np.random.Generator:
        return np.random.default_rng([seed, crc32(name.encode())])

    return stream

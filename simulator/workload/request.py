"""One request of a workload, as a row of a structured array."""

from typing import Any

import numpy as np
import numpy.typing as npt

REQUEST = np.dtype(
    [
        ("at_s", "f8"),  # arrival at the router, from 0.0 on, ascending
        ("work_s", "f8"),  # service time at speed 1 with nothing else being served; above zero
        ("first_s", "f8"),  # the part of it until the response's first byte; at most work_s
        ("client", "u8"),  # hash of the client's address
        ("url", "u8"),  # hash of the URL
        ("fail_draw", "f4"),  # uniform; decides whether a backend that fails at random fails this request
        ("tail_draw", "f4"),  # uniform; decides whether a backend with a tail is slow for it
        ("request_class", "i4"),
        ("router", "i4"),  # the router to which it comes
    ],
    align=True,
)
"""What comes, whatever the policy does with it: a run under another policy sees the same rows."""

Requests = npt.NDArray[np.void]
"""A one-dimensional structured array of `REQUEST`."""

Array = npt.NDArray[Any]

"""How the fields of a request become work."""

from typing import Protocol

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from simulator.workload.request import Requests
from simulator.workload.work.lognormal import lognormal
from smartlb.config.model import Section

Floats = npt.NDArray[np.float64]

LEAST_WORK_S = 1e-6
"""No request is less work than that: less cannot be told from none."""


class Priced(Protocol):
    """What is known of requests: an array with one number a request, or a number such as their mean."""

    @property
    def kilobytes(self) -> Floats | float:
        """Sizes of request and response together, in 1,000 bytes."""

    @property
    def input_tokens(self) -> Floats | float:
        """Tokens read."""

    @property
    def output_tokens(self) -> Floats | float:
        """Tokens generated."""

    @property
    def duration_s(self) -> Floats | float:
        """How long they took when they were recorded."""


class Cost(Section):
    """Work as a weighted sum of what is known of a request, times a noise whose mean is one."""

    base_ms: float = Field(default=0.0, ge=0, le=3_600_000, description="Work of every request.")
    per_kilobyte_ms: float = Field(
        default=0.0, ge=0, le=3_600_000, description="Work for 1,000 bytes of request and response together."
    )
    per_input_token_ms: float = Field(
        default=0.0, ge=0, le=3_600_000, description="Work for a token read, all of it before the first byte."
    )
    per_output_token_ms: float = Field(
        default=0.0, ge=0, le=3_600_000, description="Work for a token generated, all of it after the first byte."
    )
    per_recorded_second: float = Field(
        default=0.0, ge=0, le=1e6, description="Seconds of work for a second that the request took when recorded."
    )
    noise_sigma: float = Field(
        default=0.0, ge=0, le=4, description="Standard deviation of the logarithm of a lognormal factor of mean one."
    )

    @model_validator(mode="after")
    def _something(self) -> "Cost":
        if not any(value for name, value in self if name != "noise_sigma"):
            raise ValueError("expected a cost above zero, such as base_ms: 2 or per_recorded_second: 1")
        return self

    def seconds(self, of: Priced) -> tuple[Floats | float, Floats | float]:
        """Work and, where tokens are generated, the part of it until the first byte; without noise.

        Linear, so that means give the mean work. What has no cost is not looked at.

        Returns:
            ``work_s`` and ``first_s``, which is `work_s` where nothing is generated.
        """
        first_s: Floats | float = self.base_ms / 1e3
        if self.per_kilobyte_ms:
            first_s = first_s + self.per_kilobyte_ms / 1e3 * of.kilobytes
        if self.per_input_token_ms:
            first_s = first_s + self.per_input_token_ms / 1e3 * of.input_tokens
        if self.per_recorded_second:
            first_s = first_s + self.per_recorded_second * of.duration_s
        if not self.per_output_token_ms:
            return first_s, first_s
        return first_s + self.per_output_token_ms / 1e3 * of.output_tokens, first_s

    def noise(self, normals: Floats) -> Floats:
        """Factors of requests' work, with mean one, from a standard normal number for each."""
        return lognormal(self.noise_sigma, normals)


def at_least(requests: Requests) -> None:
    """Raise work that is too little to `LEAST_WORK_S`."""
    for column in ("work_s", "first_s"):
        np.maximum(requests[column], LEAST_WORK_S, out=requests[column])

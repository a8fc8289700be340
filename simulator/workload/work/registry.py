"""Every distribution by its kind: of work, and of tokens."""

from typing import Annotated

from pydantic import Field

from simulator.workload.work.constant import Constant, ConstantTokens
from simulator.workload.work.distribution import Tokens, Work
from simulator.workload.work.exponential import Exponential, ExponentialTokens
from simulator.workload.work.lognormal import Lognormal, LognormalTokens
from simulator.workload.work.pareto import Pareto, ParetoTokens
from simulator.workload.work.uniform import Uniform, UniformTokens

WORK: dict[str, type[Work]] = {
    work.model_fields["kind"].default: work for work in (Exponential, Lognormal, Pareto, Constant, Uniform)
}
TOKENS: dict[str, type[Tokens]] = {
    tokens.model_fields["kind"].default: tokens
    for tokens in (ExponentialTokens, LognormalTokens, ParetoTokens, ConstantTokens, UniformTokens)
}

WorkOf = Annotated[Exponential | Lognormal | Pareto | Constant | Uniform, Field(discriminator="kind")]
"""Any distribution of work, told apart by `kind`."""

TokensOf = Annotated[
    ExponentialTokens | LognormalTokens | ParetoTokens | ConstantTokens | UniformTokens, Field(discriminator="kind")
]
"""Any distribution of tokens, told apart by `kind`."""

"""What a policy is: pure functions over flat sequences, their options, and what they remember."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from smartlb.core.view import PoolView
from smartlb.policies.compiled import CompiledPolicy, Program

Key = Literal["none", "client_ip", "url"]


class PolicyOptions(BaseModel):
    """The base of every policy's options; a policy without options uses it as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Members:
    """A pool's backends as a policy may know them when its memory is built.

    Attributes:
        names: unique and stable over restarts; consistent hashing places backends by them. Empty where a position has
            no backend.
        weight: configured weights, above zero; zero where a position has no backend.
    """

    names: Sequence[str]
    weight: Sequence[float]


Pick = Callable[[PoolView, Any, int, int, float, Sequence[float]], int]
"""``pick(pool, memory, request_class, key, now_s, draws)`` returns the position of one eligible backend.

``request_class`` is the row of the learned sequences, ``key`` an unsigned 64-bit hash of what the policy
asked for by `Policy.key` (0 for "none"), ``now_s`` a monotonic time, ``draws`` uniform random numbers from
0.0 to below 1.0.
"""

Observe = Callable[[Any, int, float, float, bool], None]
"""``observe(memory, backend, now_s, latency_s, failed)`` takes in how a request ended.

``backend`` is the position in the pool; ``latency_s``, never NaN, counts from dispatch to the first byte.
"""


def _no_memory(_members: Members, _options: Any) -> Any:
    return ()


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy under its name.

    Those of the registry are compiled: see `of`. One that is being tried in the simulator may be Python: its `pick` and
    `observe` then use only arithmetic, loops, indexing over their arguments, `math` and module-level functions of the
    same kind, which the simulator can compile.

    Attributes:
        name: as the configuration spells it.
        pick: chooses a backend.
        options: the options' model; its defaults are those of the policy's source.
        remember: builds the memory that `pick` and `observe` get and may change: a tuple, named or empty, of
            numbers and `array.array`.
        draws: how many random numbers a pick takes.
        key: what of a request `pick` gets a hash of.
        observe: takes in outcomes; None for policies that do not measure.
        keeps: fields of the memory, arrays all, that outlive a change of the pool's members; see `renew`.
        program: the compiled functions that `pick` and `observe` call; None for a policy in Python.
    """

    name: str
    pick: Pick
    options: type[PolicyOptions] = PolicyOptions
    remember: Callable[[Members, Any], Any] = _no_memory
    draws: Callable[[Any], int] = lambda _options: 0
    key: Key = "none"
    observe: Observe | None = None
    keeps: Sequence[str] = ()
    program: Program | None = None

    @classmethod
    def of(cls, program: Program, name: str, **fields: Any) -> "Policy":
        """A compiled policy; `fields` are the other attributes."""
        observe = program.observe if program.measures else None
        return cls(name, program.pick, observe=observe, program=program, **fields)

    def made(self, members: Members, options: Any, seed: int) -> CompiledPolicy:
        """The policy of one pool in one worker; only one that is compiled can serve there.

        Args:
            members: of the pool.
            options: of the policy.
            seed: of its random numbers, 64 bits.
        """
        assert self.program is not None, f"policy {self.name} is not compiled"
        return CompiledPolicy(
            self.program,
            self.remember(members, options),
            size=len(members.names),
            draws=self.draws(options),
            seed=seed,
            renew=partial(self._renew, options),
        )

    def _renew(self, options: Any, memory: Any, members: Members, same: Sequence[int]) -> Any:
        return self.renew(memory, members, options, same)

    def renew(self, memory: Any, members: Members, options: Any, same: Sequence[int]) -> Any:
        """The memory for other members, who have as many positions.

        Of what the policy keeps, an array of one number a position goes on where the backend is the same; an array of
        another length, which is about the pool, goes on whole.

        Args:
            memory: so far.
            members: as they are now.
            options: of the policy.
            same: positions of the backends that are still the same ones.
        """
        renewed = self.remember(members, options)
        for name in self.keeps:
            old, new = getattr(memory, name), getattr(renewed, name)
            for at in same if len(old) == len(members.names) else range(len(old)):
                new[at] = old[at]
        return renewed

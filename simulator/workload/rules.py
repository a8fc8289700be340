"""Which class a recorded request is of."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydantic import Field

from simulator.workload.block import Block, Mask
from simulator.workload.cost import Cost
from simulator.workload.traces.reading import TraceError
from smartlb.config.model import Section
from smartlb.config.regex import LinearRegex
from smartlb.config.values import Name, Regex

DEFAULT = "default"
"""The class of requests that are of no other."""

MOST_CLASSES = 256

_MOST_REMEMBERED = 100_000

Indices = npt.NDArray[np.int64]


class ClassRule(Section):
    """What a recorded request must have, all of it, to be of a class; without a condition, every request is."""

    name: Name = Field(description="Shown in reports.")
    target_regex: Regex | None = Field(
        default=None, description="Regular expression that is found in the target, such as '\\.(gif|jpg)$'."
    )
    recorded_class: str | None = Field(default=None, description="The class as the trace names it.")
    kilobytes_from: float = Field(default=0.0, ge=0, description="Least size of request and response, in 1,000 bytes.")
    input_tokens_from: float = Field(default=0.0, ge=0, description="Least number of tokens read.")
    output_tokens_from: float = Field(default=0.0, ge=0, description="Least number of tokens generated.")
    cost: Cost | None = Field(default=None, description="What such requests cost; as all others where not given.")


class Classifier:
    """Numbers the classes of recorded requests.

    A request is of the class of the first rule that it satisfies; where there is none, of the class that the trace
    names; where it names none, of class `default`. Classes that the trace names get their numbers as they come.

    Args:
        rules: of the scenario.
        path: of the trace, for error messages.

    Attributes:
        names: of the classes so far, by their numbers.
    """

    def __init__(self, rules: Sequence[ClassRule], path: Path) -> None:
        self.names = [rule.name for rule in rules]
        self._numbers = _Numbers(self.names, path)
        self._matches = [_matching(rule) for rule in rules]

    def classes(self, block: Block) -> Indices:
        """The class of each request of a block.

        Raises:
            TraceError: the trace names too many.
        """
        masks = [matches(block) for matches in self._matches]
        numbers: Indices = np.full(len(block), -1)
        for number, mask in reversed(list(enumerate(masks))):
            numbers[mask] = number
        if (rest := np.flatnonzero(numbers < 0)).size == len(block):
            numbers[:] = [self._numbers[name] for name in block.names]
        elif rest.size:
            numbers[rest] = [self._numbers[block.names[at]] for at in rest.tolist()]
        return numbers


class _Numbers(dict[str | None, int]):
    """The number of a class by its name."""

    def __init__(self, names: list[str], path: Path) -> None:
        super().__init__({name: number for number, name in enumerate(names)})
        self._names = names
        self._path = path

    def __missing__(self, name: str | None) -> int:
        if name is None:
            self[None] = number = self[DEFAULT]
            return number
        if len(self._names) >= MOST_CLASSES:
            raise TraceError(
                f"{self._path}: the trace names more than {MOST_CLASSES} classes of requests, such as "
                f"{', '.join(self._names[:3])}; give rules in `classes` (one without a condition takes all that is "
                "left)"
            )
        self[name] = number = len(self._names)
        self._names.append(name)
        return number


def _matching(rule: ClassRule) -> Callable[[Block], Mask]:
    found = None if rule.target_regex is None else _Found(rule.target_regex)

    def matches(block: Block) -> Mask:
        mask: Mask = np.ones(len(block), dtype=np.bool_)
        if found is not None:
            mask &= [found[target] for target in block.targets]
        if rule.recorded_class is not None:
            mask &= [name == rule.recorded_class for name in block.names]
        if rule.kilobytes_from:
            mask &= block.kilobytes >= rule.kilobytes_from
        if rule.input_tokens_from:
            mask &= block.input_tokens >= rule.input_tokens_from
        if rule.output_tokens_from:
            mask &= block.output_tokens >= rule.output_tokens_from
        return mask

    return matches


class _Found(dict[str, bool]):
    """Whether a regular expression is found in a text; the texts seen last are remembered."""

    def __init__(self, pattern: str) -> None:
        super().__init__()
        self._regex = LinearRegex(pattern)

    def __missing__(self, text: str) -> bool:
        if len(self) >= _MOST_REMEMBERED:
            self.clear()
        self[text] = found = self._regex.found_in(text.encode())
        return found

"""The learned policy beside itself with one part taken away or exchanged: what each part brings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from simulator import arena
from simulator.arena import Task
from simulator.scenario import Scenario
from smartlb.config.model import Learner

YARDSTICK: Final = "clairvoyant"
"""What all variants are measured against; see `simulator.measures.seeds.Summary`."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How a variant differs.

    Attributes:
        learner: values of the scenario's `learner` section.
        blind: whether the learner takes all requests to be of one class.
    """

    learner: Mapping[str, Any] = field(default_factory=dict)
    blind: bool = False


VARIANTS: Final[Mapping[str, Variant]] = {
    "learned": Variant(),
    "learned, no drift detection": Variant({"drift_detector": "none"}),
    "learned, blind to classes": Variant(blind=True),
    "learned, no error model": Variant({"error_penalty_s": 0.0}),
    # So small that no run is long enough for a backend to be owed a request.
    "learned, no exploration": Variant({"exploration_floor": 1e-9}),
    "learned, average": Variant({"latency_model": "mean"}),
    "learned, linear": Variant({"latency_model": "linear"}),
    "learned, linear_quantile": Variant({"latency_model": "linear_quantile"}),
    "learned, hoeffding_tree": Variant({"latency_model": "hoeffding_tree"}),
}
"""By the name that reports know them by; the first is the policy as it is."""


def tasks(
    scenarios: Mapping[str, tuple[Scenario, Path]],
    seeds: Sequence[int],
    variants: Mapping[str, Variant] = VARIANTS,
    **common: Any,
) -> list[Task]:
    """All runs of an ablation, those of a scenario and seed together.

    Args:
        scenarios: by name, each with the folder of its file.
        seeds: of the runs.
        variants: by the name that reports know them by.
        common: further fields of every `Task`.

    Raises:
        pydantic.ValidationError: a variant's value is none of the `learner` section.
    """
    found = []
    for name, (scenario, folder) in scenarios.items():
        each = {label: {name: (_with(scenario, variant.learner), folder)} for label, variant in variants.items()}
        for seed in seeds:
            for label, variant in variants.items():
                found += arena.tasks(each[label], ["learned"], [seed], label=label, blind=variant.blind, **common)
            found += arena.tasks({name: (scenario, folder)}, [YARDSTICK], [seed], **common)
    return found


def _with(scenario: Scenario, learner: Mapping[str, Any]) -> Scenario:
    section = Learner.model_validate({**scenario.learner.model_dump(), **learner})
    return scenario.model_copy(update={"learner": section})

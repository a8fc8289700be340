"""What can be compared: the router's policies, the references, and static rules told the true capacities."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.references.reference import Reference
from simulator.references.registry import REFERENCES
from smartlb.policies.policy import Policy, PolicyOptions
from smartlb.policies.registry import POLICIES

TOLD: Mapping[str, Policy | Reference] = {
    "true_weights_round_robin": POLICIES["smooth_weighted_round_robin"],
    "true_weights_least_connections": POLICIES["weighted_least_connections"],
    "true_weights_envoy_least_request": REFERENCES["envoy_least_request"],
}
"""Rules whose weights an operator sets by the true capacities, which nobody knows so well outside a simulator."""

CONTENDERS: Mapping[str, Policy | Reference] = {**POLICIES, **REFERENCES, **TOLD}
"""All of them by name."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One of them, with options.

    Attributes:
        name: by which reports know it; of `CONTENDERS`, or a variant's.
        policy: what picks.
        options: of the policy.
        told: whether its weights are the true capacities.
        blind: whether the learner takes all requests to be of one class; means nothing to what does not learn.
    """

    name: str
    policy: Policy | Reference
    options: PolicyOptions
    told: bool
    blind: bool = False

    @property
    def learns(self) -> bool:
        """Whether it needs the learner."""
        return self.policy.name == "learned"

    def among(self, routers: int) -> "Contender":
        """The same where `routers` that do not see each other's requests are in front of a fleet; c3 counts them."""
        if self.policy.name != "c3" or "clients" in self.options.model_fields_set:
            return self
        return replace(self, options=self.options.model_copy(update={"clients": routers}))


def contender(name: str, options: Mapping[str, Any] | None = None) -> Contender:
    """A contender by name.

    Raises:
        KeyError: there is none of this name.
        pydantic.ValidationError: the options are not those of this policy.
    """
    policy = CONTENDERS[name]
    return Contender(name, policy, policy.options.model_validate(dict(options or {}), strict=True), name in TOLD)

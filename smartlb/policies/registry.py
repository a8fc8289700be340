"""Every policy by its name."""

from smartlb.policies import (
    ip_hash,
    learned,
    least_connections,
    least_time,
    peak_ewma,
    power_of_two,
    round_robin,
    smooth_weighted_round_robin,
    url_hash,
    weighted_least_connections,
    weighted_random,
)
from smartlb.policies.policy import Policy

POLICIES: dict[str, Policy] = {
    module.POLICY.name: module.POLICY
    for module in (
        round_robin,
        smooth_weighted_round_robin,
        weighted_random,
        least_connections,
        weighted_least_connections,
        power_of_two,
        ip_hash,
        url_hash,
        peak_ewma,
        least_time,
        learned,
    )
}

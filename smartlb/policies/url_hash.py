"""url_hash: requests for the same URL go to the same backend, by consistent hashing.

For backends that cache. A popular URL makes its backend hot, which is what the load bound is for; see
`smartlb.policies.hash_ring`.
"""

from smartlb.policies.hash_ring import Options, pick, remember
from smartlb.policies.policy import Policy

POLICY = Policy(name="url_hash", pick=pick, options=Options, remember=remember, key="url")

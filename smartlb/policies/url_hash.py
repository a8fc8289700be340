"""url_hash: requests for the same URL go to the same backend, by consistent hashing.

For backends that cache. A popular URL makes its backend hot, which is what the load bound is for; see
`smartlb.policies.hash_ring`.
"""

from smartlb.policies.hash_ring import Options, remember
from smartlb.policies.policy import Policy
from smartlb.policies.ring_walk import PROGRAM

POLICY = Policy.of(PROGRAM, name="url_hash", options=Options, remember=remember, key="url")

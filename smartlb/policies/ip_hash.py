"""ip_hash: a client's requests go to the same backend, by consistent hashing of its address.

For backends that keep something per client. Clients behind one address share a backend; see
`smartlb.policies.hash_ring` for the ring and the load bound.
"""

from smartlb.policies.hash_ring import Options, remember
from smartlb.policies.policy import Policy
from smartlb.policies.ring_walk import PROGRAM

POLICY = Policy.of(PROGRAM, name="ip_hash", options=Options, remember=remember, key="client_ip")

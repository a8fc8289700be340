"""The compiled part of the simulator: requests, routers and backends as events in simulated time.

Events at the same time happen in this order: what the caller does between two calls of `loop.run_until` (faults, health
checks, the learner), answers and completions at backends (the first in the fleet's order), timeouts, arrivals.
"""

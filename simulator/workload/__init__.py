"""What comes to the simulated routers: requests that are generated, or recorded ones that are replayed.

Nothing here has a clock or a random source of its own; only `traces` reads files. `workload` is where it begins: a
scenario's section, and what streams its requests.
"""

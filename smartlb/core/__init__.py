"""Plain data that every other package speaks: outcomes, pool views, telemetry, the shared segment's layout.

Standard library and numpy only; imports nothing else of smartlb.
"""

"""Online learning of weights and costs from telemetry: pure, with time and randomness as arguments.

`smartlb.learning.registry` is light and may be imported anywhere; river is imported when a model is made.
"""

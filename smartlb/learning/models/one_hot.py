"""Request classes for linear models: one indicator each, in place of a number whose order would mean something."""

from smartlb.learning.model import Features


def one_hot(x: Features) -> dict[str, float]:
    """`x` with ``request_class`` k as an indicator ``class_k``; absent indicators count as 0."""
    return {"in_flight": x["in_flight"], f"class_{x['request_class']:.0f}": 1.0}

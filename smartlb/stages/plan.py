# cython: annotation_typing=False
"""What a route does, compiled when the configuration is applied: the stages for each moment of a request.

A route without stages has an empty plan, and pays nothing for what others do.
"""

from collections.abc import Sequence
from typing import Any

from smartlb.stages.stage import Stage


class RoutePlan:
    """The plan of one route.

    Args:
        pool: where its requests go; None where a stage says that, or answers.
        stages: in their order.

    Attributes:
        pool: the argument.
        empty: whether there are no stages.
        request: the stages that look at requests.
        request_bodies, responses, done: methods of the stages that see bodies, responses and ends.
        reads_body: whether the content of a request's body concerns any.
    """

    def __init__(self, pool: Any, stages: Sequence[Stage]) -> None:
        self.pool = pool
        self.empty = not stages
        self.request = tuple(stage for stage in stages if _overrides(stage, "request"))
        self.request_bodies = tuple(stage.request_body for stage in stages if _overrides(stage, "request_body"))
        self.responses = tuple(stage.response for stage in stages if _overrides(stage, "response"))
        self.done = tuple(stage.done for stage in stages if _overrides(stage, "done"))
        self.reads_body = bool(self.request_bodies) or any(stage.whole_body for stage in self.request)


def _overrides(stage: Stage, method: str) -> bool:
    return getattr(type(stage), method) is not getattr(Stage, method)

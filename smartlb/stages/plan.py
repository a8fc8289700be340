# cython: annotation_typing=False
"""What a route does, compiled when the configuration is applied: the stages for each moment of a request.

A route without stages has an empty plan, and pays nothing for what others do.
"""

from collections.abc import Sequence
from typing import Any

from smartlb.stages.stage import Stage


class Look:
    """A stage's look at requests, and what comes before and after it.

    Args:
        stage: whose it is.

    Attributes:
        request, whole_body, timeout_s: of the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self.request = stage.request
        self.whole_body = stage.whole_body
        self.timeout_s = stage.timeout_s


class RoutePlan:
    """The plan of one route.

    Args:
        pool: where its requests go; None where a stage says that, or answers.
        stages: in their order.

    Attributes:
        pool: the argument.
        empty: whether there are no stages.
        looks: of the stages that look at requests.
        request_bodies, responses, done: methods of the stages that see bodies, responses and ends.
        reads_body: whether the content of a request's body concerns any.
    """

    def __init__(self, pool: Any, stages: Sequence[Stage]) -> None:
        self.pool = pool
        self.empty = not stages
        self.looks = tuple(Look(stage) for stage in stages if _overrides(stage, "request"))
        self.request_bodies = tuple(stage.request_body for stage in stages if _overrides(stage, "request_body"))
        self.responses = tuple(stage.response for stage in stages if _overrides(stage, "response"))
        self.done = tuple(stage.done for stage in stages if _overrides(stage, "done"))
        self.reads_body = bool(self.request_bodies) or any(look.whole_body for look in self.looks)


def _overrides(stage: Stage, method: str) -> bool:
    return getattr(type(stage), method) is not getattr(Stage, method)

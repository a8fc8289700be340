"""What a stage in the plan of a route costs a request: ``python -m benchmarks.stages [--json OUT]``.

Requests go through a worker's data path without sockets, with stages that do nothing but look; docs/benchmarks.md says
more.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.rig.bare_worker import BareWorker
from benchmarks.rig.cases import Case, Rows, paired, run
from benchmarks.rig.goals import Goal, at_most
from smartlb.stages.context import Context, ResponseHead
from smartlb.stages.plan import RoutePlan
from smartlb.stages.stage import Stage

STAGE_US = 0.3
"""What a stage may cost at most."""

_NONE = "no stage"
_MANY = 5
_CALLS = 500
_POOL = {"backends": [f"127.0.0.1:{10_000 + number}" for number in range(10)]}


class Looks(Stage):
    """Looks at requests."""

    def request(self, context: Context) -> None:
        """Do nothing."""


class Listens(Stage):
    """Looks at responses."""

    def response(self, context: Context, head: ResponseHead) -> None:
        """Do nothing."""


KINDS: Mapping[str, Callable[[], Stage]] = {"requests": Looks, "responses": Listens}
"""What stages look at, and what makes one."""


def _label(count: int, what: str) -> str:
    return f"{count} that look{'s' if count == 1 else ''} at {what}"


def cases() -> dict[str, Case]:
    """A route without stages, and the same with one and with several of each kind."""
    found: dict[str, Case] = {_NONE: BareWorker(_POOL).serve}
    for what, kind in KINDS.items():
        for count in (1, _MANY):
            bare = BareWorker(_POOL)
            plans = bare.worker.front.plans
            plans[0] = RoutePlan(plans[0].pool, [kind() for _ in range(count)])
            found[_label(count, what)] = bare.serve
    return found


def _each(count: int, with_them: float, without: float) -> float:
    return (with_them - without) / count


def goals(rows: Rows) -> list[Goal]:
    """What a stage should cost at most: the only one of a route, and each of several."""
    found = []
    for what in KINDS:
        for count in (1, _MANY):
            each_us = paired(rows, _label(count, what), _NONE, partial(_each, count))
            of = "the only stage of a route" if count == 1 else f"each of {count} stages"
            found.append(at_most(f"µs of {of}, looking at {what}", each_us, STAGE_US))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report."""
    return run("stages", __doc__, cases(), _CALLS, "a request", goals, arguments)


if __name__ == "__main__":
    sys.exit(main())

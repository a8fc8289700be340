"""The workload of a scenario: the section that says what it is, and the way from there to its requests."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Tag

from simulator.streams import Stream
from simulator.workload.demand import Demand
from simulator.workload.generated import Generated, GeneratedWorkload
from simulator.workload.replayed import Replayed, ReplayedWorkload
from simulator.workload.traces.reading import TraceError, TraceMissing
from simulator.workload.traces.source import located


def _kind(value: Any) -> str:
    recorded = "trace" in value if isinstance(value, dict) else isinstance(value, ReplayedWorkload)
    return "replayed" if recorded else "generated"


Workload = Annotated[
    Annotated[GeneratedWorkload, Tag("generated")] | Annotated[ReplayedWorkload, Tag("replayed")], Discriminator(_kind)
]
"""The section `workload` of a scenario: that of a trace where it has a key `trace`."""


def prepare(
    section: GeneratedWorkload | ReplayedWorkload, folder: Path, stream: Stream, use_stand_in: bool = False
) -> Demand:
    """What a run needs of a workload; a trace is read once for it.

    Args:
        section: of the scenario.
        folder: that of the scenario's file, which a trace's path is relative to.
        stream: random generators by name; the requests may be taken with others.
        use_stand_in: whether generated requests take the place of a trace, be it there or not.

    Raises:
        TraceError: the trace is missing, cannot be read or holds too little; or it has no stand-in, but should.
    """
    if isinstance(section, GeneratedWorkload):
        return Generated(section)
    stand_in = section.trace.stand_in
    if not use_stand_in:
        try:
            return Replayed(section, folder, stream)
        except TraceMissing as missing:
            raise TraceMissing(f"{missing}{'. Or let its stand-in take its place' if stand_in else ''}") from None
    if stand_in is None:
        raise TraceError(f"trace {section.trace.path}: nothing stands in for it; add `trace.stand_in` to the scenario")
    return Generated(stand_in)


def missing(section: GeneratedWorkload | ReplayedWorkload, folder: Path) -> str:
    """Why a trace that has a stand-in is not there, in words; empty where it is, or where nothing stands in."""
    if isinstance(section, GeneratedWorkload) or section.trace.stand_in is None:
        return ""
    try:
        located(section.trace, folder)
    except TraceMissing as why:
        return str(why)
    return ""

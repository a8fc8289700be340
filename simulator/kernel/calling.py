"""Makes a policy callable by the kernel, under one signature for all policies.

What a policy remembers has a shape of its own; here it becomes a row of bytes, one for each router, and `layout` says
where each of its parts is.
"""

from array import array
from typing import Any

import numpy as np

from simulator.kernel import python_policy
from simulator.kernel.machine_code import OBSERVE, PICK, MachineCode, parts_of
from simulator.kernel.router import Routing
from simulator.kernel.state import Array
from simulator.references.reference import Reference
from smartlb.core.view import PoolView
from smartlb.policies.policy import Members, Policy


def prepare(policy: Policy | Reference, options: Any, members: Members, routers: int) -> Routing:
    """Make ready to call a policy, and lay out what each of `routers` remembers; the pool is empty yet."""
    remembered = policy.remember(members, options)
    row, layout = flatten(remembered)
    memory = np.tile(row, (routers, 1))
    program = policy.program if isinstance(policy, Policy) else None
    functions: dict[str, Any] = {
        "pick": MachineCode.none(PICK),
        "observe": MachineCode.none(OBSERVE),
        "pick_python": MachineCode.none(python_policy.PICK),
        "observe_python": MachineCode.none(python_policy.OBSERVE),
    }
    if program is None:
        functions["pick_python"], functions["observe_python"] = python_policy.compile_policy(policy, remembered)
    else:
        functions["pick"] = MachineCode(program.pick_address, PICK, program)
        if program.measures:
            functions["observe"] = MachineCode(program.observe_address, OBSERVE, program)
    return Routing(
        **functions,
        in_python=program is None,
        observes=policy.observe is not None,
        pool=_empty_pool(),
        memory=memory,
        layout=layout,
        parts=parts_of(memory, layout),
        drawn=policy.draws(options),
    )


def _empty_pool() -> PoolView:
    none: dict[str, Any] = {name: np.zeros(0, kind) for name, kind in python_policy.VIEW_TYPES.items()}
    return PoolView(**none | {"sight": 1.0})


def flatten(remembered: Any) -> tuple[Array, Array]:
    """A memory as bytes; and as int64 ``[2 * parts]`` where each part begins, a multiple of 8, and where it ends."""
    parts = [
        np.frombuffer(part, dtype=np.uint8) if isinstance(part, array) else np.array([part]).view(np.uint8)
        for part in remembered
    ]
    padded = [np.concatenate((part, np.zeros(-len(part) % 8, np.uint8))) for part in parts]
    begins = np.cumsum([0, *(len(part) for part in padded)])[:-1]
    layout = np.array([(begin, begin + len(part)) for begin, part in zip(begins, parts, strict=True)], np.int64)
    return np.concatenate(padded) if padded else np.zeros(0, np.uint8), layout.ravel()

"""A compiled policy's own functions, called where they are: what is simulated is what the router runs.

`smartlb.policies.compiled` gives a policy's functions as two addresses, and reads a pool as the C struct `View` and a
memory as a struct of pointers to its parts. Numba calls a function at an address through its wrapper address protocol.
"""

from typing import Any

import numba
import numba.experimental.function_type  # without it numba does not know the type of a `MachineCode`
import numpy as np
from numba import types

from simulator.kernel.compiling import compiled
from simulator.kernel.state import Array, State

_ADDRESS = numba.uintp
PICK: Any = numba.int32(_ADDRESS, _ADDRESS, numba.int32, numba.uint64, numba.float64, _ADDRESS)
OBSERVE: Any = numba.void(_ADDRESS, numba.int32, numba.float64, numba.float64, numba.int32)
"""The signatures of `PickFunction` and `ObserveFunction` there."""


_NOWHERE = 1
"""Numba takes no 0 for an address."""


class MachineCode(types.WrapperAddressProtocol):
    """A C function that compiled code of the simulator can call.

    Args:
        address: where it begins.
        signature: of numba.
        owner: kept alive, as the function is gone with it.
    """

    def __init__(self, address: int, signature: Any, owner: object = None) -> None:
        self._address = address
        self._signature = signature
        self._owner = owner

    @classmethod
    def none(cls, signature: Any) -> "MachineCode":
        """Stands where a function of a type must be and none is ever called."""
        return cls(_NOWHERE, signature)

    def __wrapper_address__(self) -> int:
        """Numba's name for it."""
        return self._address

    def signature(self) -> Any:
        """Of numba."""
        return self._signature


def parts_of(memory: Array, layout: Array) -> Array:
    """uint64 ``[routers, parts]``: the address of each part of each router's memory.

    Args:
        memory: uint8 ``[routers, bytes]``, which must outlive the addresses.
        layout: where each part begins in a row, and where it ends.
    """
    rows = memory.ctypes.data + memory.strides[0] * np.arange(len(memory), dtype=np.uint64)
    addresses: Array = rows[:, None].astype(np.uint64) + layout[None, ::2].astype(np.uint64)
    return addresses


@compiled
def show(state: State, pool: Any) -> int:
    """Fill in what a compiled policy sees, from a `PoolView` of numpy arrays; returns its address."""
    seen = state.seen[0]
    seen.eligible = pool.eligible.ctypes.data
    seen.room = len(pool.eligible)
    seen.barred = pool.barred.ctypes.data
    seen.in_flight = pool.in_flight.ctypes.data
    seen.size = len(pool.weight)
    seen.weight = pool.weight.ctypes.data
    seen.draw = pool.draw.ctypes.data
    seen.explore = pool.explore.ctypes.data
    seen.base_s = pool.base_s.ctypes.data
    seen.slope_s = pool.slope_s.ctypes.data
    seen.sight = pool.sight
    address: int = state.seen.ctypes.data
    return address

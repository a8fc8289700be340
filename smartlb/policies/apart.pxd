"""How a router picks that sees only a small share of what is in flight; see `apart.pyx`."""

from smartlb.policies.compiled cimport View
from smartlb.policies.experience cimport Memory

cdef int pick_apart(const View *pool, Memory *memory, int request_class, double now_s, double start) noexcept nogil

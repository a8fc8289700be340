"""How a process lives beside the supervisor, and ends with it."""

import ctypes
import gc
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def seldom_collect() -> None:
    """Leave what is there now to itself, and look for garbage in cycles seldom: a full look takes 100 ms and more."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def tie_to(supervisor: int) -> None:
    """End with the supervisor even if it is killed.

    The kernel's signal exists on Linux only; elsewhere the processes look at `orphaned` at intervals.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # A terminal's Ctrl-C reaches the whole group; the supervisor decides what to do.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if orphaned(supervisor):
        sys.exit("the supervisor ended before this process was ready")


def orphaned(supervisor: int) -> bool:
    """Whether the supervisor is gone."""
    return os.getppid() != supervisor

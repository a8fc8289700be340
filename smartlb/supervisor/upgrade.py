"""An upgrade: this command is started anew, with the program that is installed now, and this process ends."""

import logging
import sys

from smartlb.control.sockets import given_name
from smartlb.supervisor.estate import ADMIN, Estate
from smartlb.supervisor.running import Running
from smartlb.supervisor.successor import NotSucceeded, Successor
from smartlb.supervisor.systemd import notify

log = logging.getLogger(__name__)

_SUCCEEDS_WITHIN_S = 60.0
"""How long the new process may take until it serves."""


async def upgrade(running: Running) -> None:
    """Hand all that this process has to a new one, and end once that one serves.

    Where it does not come to that, this process goes on as before, and the log says why.
    """
    async with running.changing:
        if running.stop.is_set():
            return  # by an upgrade before this one, say
        # What is changed from here on would be lost: the new process begins with what there is now.
        running.state.handing_over = True
        log.info("upgrade: starting %s", " ".join(sys.orig_argv))
        try:
            successor = await _successor(running)
            await successor.serves(_SUCCEEDS_WITHIN_S, running.stop.is_set)
            running.superseded = True
        except (OSError, NotSucceeded) as error:
            log.error("upgrade failed, this process goes on: %s", error)
            return
        except Exception:
            log.exception("internal error in an upgrade, this process goes on")
            return
        finally:
            running.state.handing_over = running.superseded
        log.info("upgrade: process %d serves, this one drains", successor.pid)
        notify(f"MAINPID={successor.pid}")
        running.stop.set()


async def _successor(running: Running) -> Successor:
    present = running.generations.present
    estate = Estate(
        memory_fd=await present.memory(),
        drained=present.backends.drained(),
        found=running.discovery.found(),
    )
    sockets = [
        *((given_name(each.place.bind), own.fileno()) for each in running.listening for own in each.sockets),
        (ADMIN + given_name(present.config.admin.bind), running.admin.socket.fileno()),
    ]
    with estate.left() as given:
        return Successor([*sockets, *given])

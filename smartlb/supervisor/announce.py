"""Tells whoever waits for it that the router is ready: a file, the service manager, the process before."""

import json
import logging
import os
from pathlib import Path

from smartlb.supervisor.estate import Estate
from smartlb.supervisor.running import Running
from smartlb.supervisor.systemd import notify

log = logging.getLogger(__name__)


def announce(running: Running, estate: Estate, ready_file: Path | None) -> None:
    """Say that the router is ready.

    Args:
        running: the router.
        estate: of the process before.
        ready_file: is written with the addresses, which the system may have chosen, as JSON; None for none.
    """
    listeners = [each.name for each in running.listening]
    log.info("ready: listeners=%s admin=http://%s", ",".join(listeners), running.admin.name)
    if ready_file is not None:
        content = {"listeners": listeners, "admin": running.admin.name, "pid": os.getpid()}
        unfinished = ready_file.with_name(ready_file.name + ".tmp")
        unfinished.write_text(json.dumps(content))
        unfinished.replace(ready_file)
    notify("READY=1", f"STATUS=listening on {', '.join(listeners)}")
    running.state.handing_over = False
    estate.say_ready()

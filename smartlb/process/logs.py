"""How every process logs."""

import logging
import sys


def set_up_logging(name: str) -> None:
    """Log to standard error, one line a message, under the process's name."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format=f"%(asctime)s %(levelname)s {name}[%(process)d] %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
    )

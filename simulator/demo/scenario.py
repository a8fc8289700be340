"""What happens to the fleet during a policy's run, at the same times for each policy."""

from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from simulator.demo.fleet import Server


@dataclass(frozen=True, slots=True)
class Fault:
    """One server misbehaves for a while, then recovers.

    Attributes:
        name: of the fault, for the report.
        server: whose.
        starts_s: after the start of what is counted.
        ends_s: likewise.
        slow: factor on the time of its requests.
        fail: share of its requests that get a 500 at once.
    """

    name: str
    server: str
    starts_s: float
    ends_s: float
    slow: float = 1.0
    fail: float = 0.0

    def __str__(self) -> str:
        if self.fail:
            return f"{self.server} answers {self.fail:.0%} of its requests with an immediate 500"
        return f"{self.server} is {self.slow:g} times slower"

    def active(self, elapsed_s: float) -> bool:
        """Whether it is on at a time after the start of what is counted."""
        return self.starts_s <= elapsed_s < self.ends_s


def faults(seconds: float) -> tuple[Fault, ...]:
    """The demo's faults within the `seconds` that are counted: a slow-down, then errors, never both."""
    return (
        Fault("slow-down", "b4", 0.15 * seconds, 0.45 * seconds, slow=4.0),
        Fault("errors", "b3", 0.55 * seconds, 0.75 * seconds, fail=0.5),
    )


def active(all_faults: Sequence[Fault], elapsed_s: float) -> Fault | None:
    """The fault that is on, if any."""
    return next((fault for fault in all_faults if fault.active(elapsed_s)), None)


async def inject(session: aiohttp.ClientSession, server: Server, slow: float = 1.0, fail: float = 0.0) -> None:
    """Set a server's fault; without arguments it recovers."""
    url = f"http://127.0.0.1:{server.port}/fault"
    async with session.post(url, json={"slow": slow, "fail": fail}) as response:
        response.raise_for_status()

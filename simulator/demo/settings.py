"""What the demo's user may choose, and what is fixed."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """How the demo runs.

    Attributes:
        policies: names, in the order in which they run.
        seconds: how long each policy's results are counted.
        rate: mean number of requests a second.
        seed: of all random draws.
        trace: file to replay; None for a generated workload.
        output: folder for the results.
        plain: print lines instead of redrawing the terminal.
        warmup_s: how long each policy runs before its results count.
        load: share of what the fleet could carry if every request were placed perfectly.
        timeout_s: after which a request has failed.
        connections: most connections of the load generator.
    """

    policies: tuple[str, ...] = ("learned", "round_robin", "least_connections")
    seconds: float = 14.0
    rate: float = 400.0
    seed: int = 1
    trace: Path | None = None
    output: Path = Path("demo-results")
    plain: bool = False
    warmup_s: float = 4.0
    load: float = 0.65
    timeout_s: float = 4.0
    connections: int = 400

    @property
    def total_s(self) -> float:
        """From a policy's first request to its last."""
        return self.warmup_s + self.seconds

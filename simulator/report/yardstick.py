"""The offline yardstick, for the terminal."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from simulator.offline import Yardstick


def table(found: Yardstick) -> RenderableType:
    """Pinball loss and calibration, a row a model."""
    lines = Table(box=SIMPLE_HEAD)
    lines.add_column("model")
    for heading in ("pinball p50, ms", "pinball p99, ms", "below p50", "below p99"):
        lines.add_column(heading, justify="right")
    for score in found.scores:
        lines.add_row(
            score.model,
            f"{score.pinball_p50_ms:.2f}",
            f"{score.pinball_p99_ms:.3f}",
            f"{score.below_p50:.1%}",
            f"{score.below_p99:.2%}",
        )
    said = f"{found.rows:,} requests predicted, {found.backends} backends, {found.classes} classes; less loss is"
    return Group(Text(f"{said} better, and right would be 50 % and 99 % below."), lines)

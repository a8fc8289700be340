"""Colours and strokes that people with any kind of colour vision can tell apart, on light and dark pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from simulator.measures.cast import Cast
from simulator.report.svg import INK

# Okabe and Ito's, less yellow, which is not seen on white, and black, which is not seen on black.
CHAMPION: Final = "#0072B2"
TROUBLED: Final = ("#D55E00", "#CC79A7", "#E69F00", "#009E73")
_OTHERS: Final = ("#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_DASHES: Final = ("--", "-.", (0, (4, 1, 1, 1, 1, 1)), "-")


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a policy is drawn, everywhere alike."""

    colour: str
    dashes: Any
    width: float

    @property
    def line(self) -> dict[str, Any]:
        """As matplotlib has it."""
        return {"color": self.colour, "linestyle": self.dashes, "linewidth": self.width}


def strokes(policies: Sequence[str], cast: Cast) -> Mapping[str, Stroke]:
    """A stroke a policy: no two alike up to twenty others beside the champion and the clairvoyant one."""
    found = {}
    others = 0
    for policy in policies:
        if policy == cast.champion:
            found[policy] = Stroke(CHAMPION, "-", 2.2)
        elif policy == cast.clairvoyant:
            found[policy] = Stroke(INK, ":", 1.4)
        else:
            dashes = _DASHES[others // len(_OTHERS) % len(_DASHES)]
            found[policy] = Stroke(_OTHERS[others % len(_OTHERS)], dashes, 1.3)
            others += 1
    return found

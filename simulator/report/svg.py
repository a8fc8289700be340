"""Pictures as SVG within a page: no links, no clashing names, and the colour of the text around them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK: Final = "#123456"
"""Stands for the colour of the page's text; a page can be light or dark."""


@contextmanager
def figure(width_in: float, height_in: float) -> Iterator["Figure"]:
    """A figure to draw on, with the house style while it is drawn and rendered."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "smartlb",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "text.parse_math": False,
        "font.size": 8.5,
        "axes.titlesize": 9,
        "axes.labelsize": 8.5,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "axes.facecolor": "none",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": INK,
        "grid.alpha": 0.15,
        "grid.linewidth": 0.5,
    }
    with rc_context(style):  # type: ignore[arg-type]
        made = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="none")
        FigureCanvasSVG(made)
        yield made


def inline(made: "Figure", name: str, alternative: str) -> str:
    """A figure as an ``<svg>`` element for an HTML page.

    Args:
        made: by `figure`, while that is open.
        name: unique in the page; what the picture names within itself begins with it.
        alternative: what it shows, for those who cannot see it.
    """
    out = StringIO()
    made.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = out.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href").replace(INK, "currentColor")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'href="#', f'href="#{name}-', body)
    body = re.sub(r"url\(#", f"url(#{name}-", body)
    # What is only a name for an editor is left out, as nothing refers to it.
    used = set(re.findall(r'href="#([^"]+)"', body)) | set(re.findall(r"url\(#([^)]+)\)", body))
    body = re.sub(r' id="([^"]+)"', lambda found: found.group(0) if found.group(1) in used else "", body)
    body = re.sub(r"\n\s*", "\n", body)
    width, height = (72 * float(size) for size in made.get_size_inches())
    return (
        f'<svg role="img" aria-label="{escape(alternative, quote=True)}" viewBox="0 0 {width:g} {height:g}" '
        f'preserveAspectRatio="xMidYMid meet">{body}'
    )

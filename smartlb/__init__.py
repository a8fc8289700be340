"""smartlb: an adaptive HTTP router whose backend weights come from an online-learning model."""

from pathlib import Path

from smartlb import compiled

__version__ = "0.1.0"

compiled.check(Path(__file__).parent)

"""smartlb: an adaptive HTTP router whose backend weights come from an online-learning model."""

__version__ = "0.1.0"

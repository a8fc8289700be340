"""Latency and error models, one family a file; each gives river's objects this package's interface."""

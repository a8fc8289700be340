"""What is measured of runs: pure functions from arrays to figures."""

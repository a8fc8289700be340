"""What the learned policy must reach, and what it does: ``python -m benchmarks.learning``; see docs/benchmarks.md."""

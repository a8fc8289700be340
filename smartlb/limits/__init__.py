"""How often, and how many at once: pure arithmetic over times that are given."""

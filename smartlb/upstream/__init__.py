"""Pools and their backends: who is picked, over which connection, and who waits."""

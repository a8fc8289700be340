"""Admin: what operators and their tools see of a router, and the little that they change in it."""

"""Discovery: where backends come from while the router runs, one source a file, and which position each gets."""

"""Which route a request takes, and which request class it belongs to."""

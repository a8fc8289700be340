def publish() -> None:
    """Whoever sees a store made after this call also sees all stores made before it, if it calls `observe` in between."""

def observe() -> None:
    """Loads after this call see all that was stored before what a load ahead of this call has seen."""

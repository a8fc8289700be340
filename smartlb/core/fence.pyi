def publish() -> None:
    """Keep the stores before this call ahead of those after it, for whoever calls `observe` between its loads."""

def observe() -> None:
    """Have the loads after this call see all that was stored before what a load ahead of it has seen."""

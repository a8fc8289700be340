"""TCP connections and UDP sessions."""

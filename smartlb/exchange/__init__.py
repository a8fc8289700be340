"""One request and its response, from arrival to record."""

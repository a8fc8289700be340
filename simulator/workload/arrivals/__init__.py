"""When requests come: one process a file, all of them in `registry`."""

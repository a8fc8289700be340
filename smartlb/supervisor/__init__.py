"""The process that owns the sockets and all other processes, and joins all that is off the data path."""

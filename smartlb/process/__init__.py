"""How the router's processes are started, named, tied together and ended."""

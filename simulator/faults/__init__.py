"""What can go wrong with a backend, one kind a file; `registry.py` lists them."""

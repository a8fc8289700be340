"""How much a request asks for: one distribution a file, all of them in `registry`."""

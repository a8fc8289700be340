"""TLS by the files that a configuration names: contexts, made again when they change, and what is wrong with them."""

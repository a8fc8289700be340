"""What a route does with a request besides handing it to a pool: one file a stage."""

"""Recorded requests, read one after another: one format a file, all of them in `registry`; `source` is the way in."""

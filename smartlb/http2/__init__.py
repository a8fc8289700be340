"""HTTP/2 connections. Each stream speaks HTTP/1.1 to the rest of the router.

Frames, HPACK and the states of streams are a library's. What is here turns a stream into a client, or a backend's
connection, that speaks HTTP/1.1: so that routes, limits, retries, telemetry and the strict parser are the same for
both versions, and nothing gets past them in one that would not in the other.
"""

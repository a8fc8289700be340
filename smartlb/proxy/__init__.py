"""The data path: HTTP/1.1 between clients and backends on asyncio protocols.

`http1` and `chunked` know the protocol, `routing` finds route and class, `forwarding` and `responses` write headers and
the router's own answers; none of them does I/O. `client` and `backend` are the two kinds of connection; `exchange`
carries one request from one to the other; `pool` chooses; `worker` is the process around them.
"""

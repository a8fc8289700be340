"""The data path: HTTP/1.1 between clients and backends on asyncio protocols.

`http1` and `chunked` know the protocol and do no I/O; `client` and `backend` are the two kinds of connection;
`exchange` carries one request from one to the other; `pool` chooses; `worker` is the process around them.
"""

"""What is on the wire, without I/O: HTTP/1.1 heads and bodies, HTTP/2 header sections, PROXY headers, TLS greetings."""

"""Headers that are made of blanks take no more time than others: patterns that go back and forth would take hours."""

import subprocess
import sys

import pytest

WEBSOCKET = """
from smartlb.wire.http1 import read_request
from smartlb.wire.upgrade import offer_of
head = b"GET / HTTP/1.1\\r\\nhost: a\\r\\nconnection: upgrade\\r\\nupgrade: websocket\\r\\n"
head += b"sec-websocket-key: a%sb\\r\\n\\r\\n" % blanks
request = read_request(head, len(head), None)
offer_of(request.method, request.block, {b"websocket"})
"""
ACCEPT_ENCODING = """
from smartlb.stages.compression import chosen
assert chosen(b"gzip%sx" % blanks, [b"gzip"]) is None
"""
CONTENT_TYPE = """
from smartlb.config import traffic
from smartlb.stages.compression import Compression
head = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/a%sb\\r\\ncontent-length: 5000\\r\\n"
Compression(traffic.Compression()).applied(head % blanks, 200, 5000, b"GET", b"gzip")
"""


@pytest.mark.parametrize("program", [WEBSOCKET, ACCEPT_ENCODING, CONTENT_TYPE], ids=["key", "coding", "type"])
def test_blanks(program: str) -> None:
    program = "blanks = b' ' * 1_000_000\n" + program
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)

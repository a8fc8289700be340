import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.rig import wrk
from benchmarks.rig.load import percentile
from benchmarks.rig.paced import drive, message_length, request_bytes
from benchmarks.rig.processes import BenchmarkError, Server, free_address
from benchmarks.rig.reachable import await_listener, check_response
from benchmarks.rig.shapes import SHAPES, Shape


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[str]:
    address = free_address()
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "benchmarks.rig.backends", address]
    with Server(command, tmp_path, None, {"PYTHONPATH": str(root)}) as server:
        yield await_listener(server, lambda: address)


def test_the_summary_is_read_from_among_what_wrk_prints() -> None:
    output = """Running 4s test @ http://127.0.0.1:8080/small
  1 threads and 64 connections
  Socket errors: connect 0, read 3, write 0, timeout 2
Requests/sec:  49876.12

summary: {"requests": 200000, "duration_us": 4010000, "p50_us": 1234.0, "p99_us": 5600.0, "errors": 5}
"""
    load = wrk.parse(output)
    assert load.requests == 200_000
    assert load.seconds == pytest.approx(4.01)
    assert load.p50_ms == pytest.approx(1.234)
    assert load.p99_ms == pytest.approx(5.6)
    assert load.errors == 5


def test_output_without_a_summary_is_an_error_that_shows_it() -> None:
    with pytest.raises(BenchmarkError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_no_answer_at_all_is_an_error() -> None:
    summary = 'summary: {"requests": 0, "duration_us": 1, "p50_us": 0, "p99_us": 0, "errors": 64}'
    with pytest.raises(BenchmarkError, match="64"):
        wrk.parse(summary)


@pytest.mark.parametrize(
    ("text", "literal"),
    [("plain", '"plain"'), ('say "hi"', '"say \\034hi\\034"'), ("a\\b", '"a\\092b"'), ("a\nb", '"a\\010b"')],
)
def test_lua_strings_are_escaped(text: str, literal: str) -> None:
    assert wrk.lua_string(text) == literal


@pytest.mark.skipif(wrk.find() is None, reason="wrk is not installed")
def test_wrk_takes_the_script_of_a_post_with_headers(answering: str, tmp_path: Path) -> None:
    shape = Shape("odd", "/small", "POST", {"X-Odd": 'a "quoted" \\ value'}, b'line 1\nline "2"\n' * 20)
    program = wrk.find()
    assert program is not None
    load = wrk.run(program, answering, shape, seconds=1, connections=2, core=None, folder=tmp_path)
    assert load.requests > 0
    assert load.errors == 0


def test_the_python_backend_answers_every_shape(answering: str) -> None:
    for shape in SHAPES.values():
        check_response(answering, shape)


def test_another_body_is_found_out(answering: str) -> None:
    class Wrong(Shape):
        @property
        def expected(self) -> bytes:
            return b"something else"

    with pytest.raises(BenchmarkError, match="another body"):
        check_response(answering, Wrong("wrong", "/small"))


def test_a_paced_load_has_every_request_answered(answering: str) -> None:
    load = drive(answering, SHAPES["post"], rate_per_s=200, seconds=0.3, connections=4, seed=1)
    assert load.errors == 0
    assert load.requests > 0
    assert load.p50_ms <= load.p99_ms


def test_a_paced_load_sends_the_same_number_for_the_same_seed(answering: str) -> None:
    counts = {
        drive(answering, SHAPES["small"], rate_per_s=300, seconds=0.2, connections=4, seed=7).requests for _ in range(2)
    }
    assert len(counts) == 1


def test_a_paced_load_counts_bad_answers_as_errors() -> None:
    answer = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while connection.recv(65_536):
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        load = drive(address, SHAPES["small"], rate_per_s=100, seconds=0.1, connections=1)
        thread.join(5)
    assert load.errors == load.requests > 0


def test_a_request_goes_over_the_wire_as_its_shape_says() -> None:
    raw = request_bytes(Shape("x", "/small", "POST", {"X-A": "1"}, b"body"), "127.0.0.1:80")
    head = b"POST /small HTTP/1.1\r\nHost: 127.0.0.1:80\r\nX-A: 1\r\nContent-Length: 4\r\n\r\n"
    assert raw == head + b"body"


@pytest.mark.parametrize(
    ("received", "length"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Le", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", 43),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 38),
    ],
)
def test_the_length_of_a_response_is_known_once_its_head_is_there(received: bytes, length: int | None) -> None:
    assert message_length(received) == length


def test_a_response_of_unknown_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="Content-Length"):
        message_length(b"HTTP/1.1 200 OK\r\n\r\n")


def test_percentiles_are_values_that_occurred() -> None:
    ordered = [float(value) for value in range(1, 101)]
    assert percentile(ordered, 0.5) == 50
    assert percentile(ordered, 0.99) == 99
    assert percentile([3.0], 0.99) == 3

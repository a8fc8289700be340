"""The account that benchmarks.chaos gives, on made-up requests."""

import os
import socket

import pytest

from benchmarks.chaos import EVENTS, Event, Run, events_table, recovery_s, rows
from benchmarks.rig.memory import Sample, growth, slope_per_hour
from benchmarks.rig.origin import accept_value
from benchmarks.rig.sockets import client_ports
from benchmarks.rig.traffic import BROKEN, GIVEN_UP, KINDS, OK, TIMED_OUT, Request, StreamEnd

GET, _, POST = KINDS


def _requests(*, slow: tuple[float, float] = (0.0, 0.0)) -> list[Request]:
    """A request each 10 ms for ten seconds, which takes 1 ms, or half a second where it is due while all is slow."""
    found = []
    for number in range(1_000):
        due_s = number / 100
        took_s = 0.5 if slow[0] <= due_s < slow[1] else 0.001
        found.append(Request(GET, due_s, due_s + took_s, 5_000, OK))
    return found


def test_kinds_make_up_all_requests() -> None:
    assert sum(kind.share for kind in KINDS) == pytest.approx(1.0)


def test_recovery_counts_from_the_event_to_the_last_bad_tenth() -> None:
    event = Event("reload", 5.0, 10.0)
    assert recovery_s(event, _requests(), 0.05) == 0.0
    assert recovery_s(event, _requests(slow=(5.0, 5.75)), 0.05) == pytest.approx(0.8)
    assert recovery_s(event, _requests(slow=(5.0, 10.0)), 0.05) == pytest.approx(5.0)


def test_losses_inside_a_killed_worker_are_told_from_others() -> None:
    requests = [
        *_requests(),
        Request(GET, 6.0, 6.01, 7_001, BROKEN),
        Request(POST, 6.0, 6.01, 7_002, BROKEN),
        Request(GET, 6.0, 6.01, 7_003, BROKEN),
        Request(GET, 8.0, 8.01, 7_001, GIVEN_UP),
        Request(GET, 8.0, 8.01, 7_001, TIMED_OUT),
    ]
    events = [Event("worker killed", 6.0, 8.0, {7_001, 7_002}, 0.3), Event("reload", 8.0, 10.0, again_s=1.0)]
    ends = [StreamEnd("WebSocket", 6.0, 7_001)]
    killed, reload = rows(Run(0.0, events, requests, ends, [], 0.0, {}))
    assert (killed.lost, killed.in_worker, killed.lost_post, killed.post_in_worker, killed.streams) == (1, 1, 0, 1, 1)
    assert killed.how == {"GET: connection ended": 2, "POST: connection ended": 1}
    assert (reload.lost, reload.in_worker, reload.given_up, reload.again_max_s) == (1, 0, 1, 1.0)
    assert len(events_table([killed, reload])) == 4
    assert {killed.event, reload.event} <= EVENTS.keys()


def test_memory_is_that_of_all_processes_of_a_role_at_once() -> None:
    samples = [
        Sample(0.0, "worker", 1, 50, 10),
        Sample(0.0, "worker", 2, 60, 10),
        Sample(1.0, "worker", 1, 70, 12),
        Sample(1.0, "supervisor", 3, 30, 5),
        Sample(2.0, "worker", 1, 40, 9),
    ]
    found = growth(samples)
    assert (found["worker"].start_mb, found["worker"].end_mb, found["worker"].peak_mb) == (110, 40, 110)
    assert (found["all"].peak_mb, found["all"].files_start, found["all"].files_end) == (110, 20, 9)
    assert slope_per_hour([(0, 1), (1_800, 2), (3_600, 3)]) == pytest.approx(2.0)
    assert slope_per_hour([(5, 1)]) == 0.0


def test_the_handshake_answer_is_that_of_the_rfc() -> None:
    assert accept_value(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_the_connections_of_a_process_are_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            assert client.getsockname()[1] in client_ports(os.getpid())

from hypothesis import given
from hypothesis import strategies as st

from smartlb.limits.open_files import Room, admitted, needed

ROOMS = st.builds(Room, st.integers(1, 100_000), st.integers(0, 100_000))


@given(open_files=st.integers(0, 1_000_000), wanted=ROOMS, sockets=st.integers(1, 100))
def test_every_client_that_is_admitted_can_have_a_backend(open_files: int, wanted: Room, sockets: int) -> None:
    room = admitted(open_files, wanted, sockets)
    assert 1 <= room.connections <= wanted.connections
    assert 0 <= room.udp_sessions <= wanted.udp_sessions
    assert needed(room, sockets) <= open_files or room.connections == 1
    assert (room == wanted) == (open_files >= needed(wanted, sockets)) or wanted == Room(1, 0)


@given(wanted=ROOMS, sockets=st.integers(1, 100), open_files=st.integers(200, 1_000_000))
def test_one_more_would_be_too_many(wanted: Room, sockets: int, open_files: int) -> None:
    room = admitted(open_files, wanted, sockets)
    if room != wanted:
        assert needed(room, sockets) > open_files - 4, "nothing is given away"


def test_a_low_limit() -> None:
    assert admitted(256, Room(10_000, 0), 1) == Room(95, 0)
    assert admitted(10_065, Room(10_000, 10_000), 1) == Room(2_500, 5_000)
    assert admitted(20_000, Room(10_000, 2), 1) == Room(9_966, 2), "a small limit is not made smaller"
    assert admitted(20, Room(10_000, 100), 1) == Room(1, 0)

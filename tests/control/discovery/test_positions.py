"""Positions hold under whatever sources say, in whatever order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from smartlb.config.model import Backend
from smartlb.control.discovery.positions import REST_S, Positions

SIZE = 4

steps = st.lists(
    st.one_of(
        st.dictionaries(st.integers(1, 7), st.sampled_from(["a", "b", "c", "d", "static", None]), max_size=6),
        st.tuples(st.floats(0.0, 15.0), st.lists(st.integers(0, 1), min_size=SIZE, max_size=SIZE)),
    ),
    max_size=30,
)


def backend(number: int, name: str | None = None) -> Backend:
    return Backend(name=name, address=f"10.0.0.{number}:80")


def unlike(names: dict[int, str | None]) -> dict[int, str | None]:
    """What a source says: no name twice."""
    given = set[str]()
    return {at: name for at, name in names.items() if name is None or not (name in given or given.add(name))}  # type: ignore[func-returns-value]


@settings(deadline=None, max_examples=300)
@given(steps)
def test_positions_are_kept_rested_and_counted(steps: list[dict[int, str | None] | tuple[float, list[int]]]) -> None:
    positions, now_s, wanted = Positions(SIZE, [backend(7, "static")]), 0.0, set[int]()
    for step in steps:
        before = list(positions.seats)
        in_flight = [0] * SIZE
        if isinstance(step, dict):
            found = unlike(step)
            wanted = set(found) - {7}
            positions.want([backend(number, name) for number, name in found.items()], now_s)
        else:
            passed_s, in_flight = step
            now_s += passed_s
            positions.rest(in_flight, now_s)
        seats = positions.seats
        assert len(seats) == SIZE
        addresses = [seat.backend.address for seat in seats if seat.backend]
        assert len(addresses) == len(set(addresses)), "no backend has two positions"
        labels = ["static", *(seat.backend.label for seat in seats if seat.backend)]
        assert len(labels) == len(set(labels)), "no name is there twice"
        present = {seat.backend.address for seat in seats if seat.backend and seat.left_s is None}
        unplaced = {each.address for each in positions.unplaced}
        assert present | unplaced == {backend(number).address for number in wanted}
        assert not present & unplaced
        assert not unplaced or all(seat.backend for seat in seats), "none waits beside a free position"
        for at, (old, new) in enumerate(zip(before, seats, strict=True)):
            if new.backend and old.backend and new.backend.address == old.backend.address:
                assert new.tenancy == old.tenancy
            elif new.backend:
                assert new.tenancy == old.tenancy + 1
            if old.backend and (new.backend is None or new.tenancy != old.tenancy):
                assert old.left_s is not None
                assert now_s - old.left_s >= REST_S
                assert in_flight[at] == 0


def test_one_that_comes_back_in_time_has_its_position_again() -> None:
    positions = Positions(2)
    positions.want([backend(1), backend(2)], 0.0)
    positions.want([backend(2)], 1.0)
    positions.rest([0, 0], 1.0 + REST_S / 2)
    positions.want([backend(2), backend(1)], 7.0)
    assert [(seat.tenancy, seat.left_s) for seat in positions.seats] == [(1, None), (1, None)]


def test_a_name_that_has_moved_is_not_there_twice() -> None:
    positions = Positions(2)
    positions.want([Backend(name="a", address="10.0.0.1:80")], 0.0)
    positions.want([Backend(name="a", address="10.0.0.2:80")], 1.0)
    assert [seat.backend.label for seat in positions.seats if seat.backend] == ["10.0.0.1:80", "a"]


def test_one_that_leaves_is_called_as_before() -> None:
    positions = Positions(2)
    positions.want([backend(1, "a")], 0.0)
    positions.want([], 1.0)
    assert [seat.backend.label for seat in positions.seats if seat.backend] == ["a"]


def test_a_name_of_the_configuration_is_not_given_again() -> None:
    positions = Positions(1, [backend(7, "static")])
    positions.want([backend(1, "static")], 0.0)
    assert [seat.backend.label for seat in positions.seats if seat.backend] == ["10.0.0.1:80"]


def test_changes_at_an_address_keep_the_position() -> None:
    positions = Positions(1)
    positions.want([Backend(address="10.0.0.1:80")], 0.0)
    positions.want([Backend(name="a", address="10.0.0.1:80", weight=3.0)], 1.0)
    (seat,) = positions.seats
    assert seat.backend is not None
    assert (seat.backend.label, seat.backend.weight, seat.tenancy) == ("a", 3.0, 1)

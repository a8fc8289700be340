"""Counts by route and backend, against a dense array, and how much room they take."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smartlb.admin.request_counts import STATUS_CLASSES, RequestCounts

ROUTES, BACKENDS = 3, 4

REQUESTS = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, 0xFFFF]), st.sampled_from([0, 1, 2, 3, 4, 0xFFFFFFFF]), st.integers(0, 999)),
    max_size=30,
)


def add(counts: RequestCounts, requests: list[tuple[int, int, int]]) -> None:
    route, backend, status = np.array(requests, dtype=np.uint32).reshape(-1, 3).T
    counts.add(route.astype(np.uint16), backend, status.astype(np.uint16))


def dense(counts: RequestCounts, routes: int, backends: int) -> np.ndarray[tuple[int, int, int], np.dtype[np.int64]]:
    found = np.zeros((routes + 1, backends + 1, len(STATUS_CLASSES)), dtype=np.int64)
    for each in counts:
        assert each.requests > 0
        found[each.route, each.backend, each.status_class] = each.requests
    return found


@given(batches=st.lists(REQUESTS, max_size=3))
def test_they_are_those_of_a_dense_array(batches: list[list[tuple[int, int, int]]]) -> None:
    counts = RequestCounts(ROUTES, BACKENDS)
    expected = np.zeros((ROUTES + 1, BACKENDS + 1, len(STATUS_CLASSES)), dtype=np.int64)
    for requests in batches:
        add(counts, requests)
        for route, backend, status in requests:
            expected[min(route, ROUTES), min(backend, BACKENDS), min(status // 100, 6)] += 1
    assert (dense(counts, ROUTES, BACKENDS) == expected).all()
    assert counts.by_backend().tolist() == expected.sum(axis=(0, 2))[:-1].tolist()


@given(
    before=REQUESTS,
    after=REQUESTS,
    routes=st.permutations([0, 1, -1]),
    backends=st.permutations([2, 0, 1, -1]),
)
def test_they_go_on_under_other_numbers(
    before: list[tuple[int, int, int]],
    after: list[tuple[int, int, int]],
    routes: list[int],
    backends: list[int],
) -> None:
    earlier, later = RequestCounts(ROUTES, BACKENDS), RequestCounts(2, 3)
    add(earlier, before)
    later.take_over(earlier, np.array(routes), np.array(backends))
    expected = np.zeros((3, 4, len(STATUS_CLASSES)), dtype=np.int64)
    for each in earlier:
        route, backend = [*routes, 2][each.route], [*backends, 3][each.backend]
        if route >= 0 and backend >= 0:
            expected[route, backend, each.status_class] += each.requests
    assert (dense(later, 2, 3) == expected).all()
    add(later, after)
    assert sum(each.requests for each in later) == expected.sum() + len(after)


def test_five_thousand_routes_and_a_thousand_backends_take_little_room() -> None:
    routes, backends = 5_000, 1_000
    counts = RequestCounts(routes, backends)
    route = np.arange(routes, dtype=np.uint16)
    for member in range(3):  # each route has a pool of three
        counts.add(route, (route.astype(np.uint32) + member) % backends, np.full(routes, 200, dtype=np.uint16))
    assert sum(each.requests for each in counts) == 3 * routes
    assert counts.nbytes <= 2 * 3 * routes * len(STATUS_CLASSES) * 8 < 2e6, "a dense array has 280 MB"

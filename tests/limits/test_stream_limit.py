from smartlb.limits.stream_limit import StreamLimit


def test_no_more_than_there_may_be() -> None:
    limit = StreamLimit(3, None)
    assert [limit.admit("a"), limit.admit("a"), limit.admit(None)] == [True] * 3
    assert not limit.admit("b")
    assert limit.refused == 1
    limit.left("a")
    assert limit.admit("b")
    assert not limit.admit("a")


def test_no_more_of_one_address_than_it_may_have() -> None:
    limit = StreamLimit(10, 2)
    assert [limit.admit("a"), limit.admit("a"), limit.admit("a"), limit.admit("b")] == [True, True, False, True]
    limit.left("a")
    limit.left("a")
    assert [limit.admit("a"), limit.admit("a"), limit.admit("a")] == [True, True, False]
    assert [limit.admit(None) for _ in range(8)] == [True] * 7 + [False]
    assert limit.refused == 3

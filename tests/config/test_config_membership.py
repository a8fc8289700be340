"""Members as one process publishes them and others read them."""

import os
from threading import Timer

from smartlb.config.membership import MembershipReader, publish
from smartlb.config.model import Backend
from smartlb.config.numbering import VACANT, Member
from smartlb.core.segment import Layout, Segment
from smartlb.process.nameless_file import unlinked_file

MEMBERS = [
    Member(0, "web", 0, Backend(name="a", address="10.0.0.1:80", weight=2.0), tenancy=3, leaving=True),
    Member(1, "web", 1, VACANT, tenancy=0),
]


def segment() -> Segment:
    layout = Layout(workers=1, backends=2, classes=1, ring_capacity=4)
    return Segment(memoryview(bytearray(layout.size)), layout)


def test_news_are_read_once_and_whole() -> None:
    fd, shared = unlinked_file(), segment()
    try:
        reader = MembershipReader(fd, shared)
        assert reader.first() == reader.news() == []
        publish(fd, shared, MEMBERS)
        assert reader.news() == MEMBERS
        assert reader.news() == []
        publish(fd, shared, MEMBERS[1:])
        assert reader.news() == MEMBERS[1:]
        assert reader.news() == []
        assert MembershipReader(fd, shared).first() == MEMBERS[1:]
    finally:
        os.close(fd)


def test_a_vacant_position_is_known_as_such_by_others() -> None:
    fd, shared = unlinked_file(), segment()
    try:
        publish(fd, shared, MEMBERS)
        assert [member.vacant for member in MembershipReader(fd, shared).news()] == [False, True]
    finally:
        os.close(fd)


def test_who_begins_waits_for_the_writer_and_others_look_again_later() -> None:
    fd, shared = unlinked_file(), segment()
    try:
        publish(fd, shared, MEMBERS)
        shared.membership_version += 1  # the writer is at it
        assert MembershipReader(fd, shared).news() == []

        def finish() -> None:
            shared.membership_version += 1

        writer = Timer(0.02, finish)
        writer.start()
        assert MembershipReader(fd, shared).first() == MEMBERS
        writer.join()
    finally:
        os.close(fd)

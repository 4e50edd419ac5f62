"""The feed and its selection, without a screen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ui.fakes import FakeSession, event

from tracescope.model import EventFormat, Field
from tracescope.ui.event_rows import Selection
from tracescope.ui.feed import Feed

_FORMATS = [EventFormat("sched", "one", 7, (Field("pid", "int", 8, 4, signed=True),))]


def make_feed(size=100):
    feed, session = Feed(size), FakeSession(_FORMATS)
    feed.add(session)
    return feed, session


def test_records_keep_their_number_when_older_ones_are_dropped():
    feed, session = make_feed(10)
    session.put(*(event(pid=number) for number in range(25)))
    assert feed.pull() == 25
    assert (feed.first, feed.end) == (15, 25)
    assert [feed.event(number).pid for number in range(15, 25)] == list(range(15, 25))


def test_counts_outlive_their_session():
    feed, session = make_feed()
    session.put(event(), event())
    session.lost = 3
    feed.pull()
    feed.stop()
    assert session.stops == 1
    assert feed.totals()[:2] == (2, 3)
    assert feed.totals().per_probe == {}


def test_what_comes_while_detaching_is_kept():
    feed, session = make_feed()
    session.put(event())
    feed.remove(session)
    assert feed.end == 1


@given(st.lists(st.sampled_from(["make", "sh", "cc1"]), max_size=60), st.integers(1, 30), st.lists(st.integers(1, 20)))
def test_a_selection_in_slices_is_the_whole_ring_filtered(comms, size, cuts):
    feed, session = make_feed(size)
    selection = Selection(feed, "MAKE")
    events = [event(comm=comm) for comm in comms]
    for cut in (*cuts, len(events)):
        session.put(*events[:cut])
        del events[:cut]
        feed.pull()
        selection.advance(0.0)
    while selection.behind:
        selection.advance(1.0)
    selection.advance(0.0)
    wanted = [number for number in range(feed.first, feed.end) if comms[number] == "make"]
    assert list(selection.numbers) == wanted

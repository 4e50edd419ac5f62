"""The share of the events that is let through, by how full it is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.backlog import Backlog
from tracescope.attach.governor import Governor
from tracescope.attach.ring import Batch


def test_while_it_fills_up_the_share_is_halved_each_time():
    governor = Governor()
    assert [governor.look(fill, 0.0) for fill in (0.5, 0.6, 0.7, 1.0, 1.0)] == [False, True, True, True, True]
    assert governor.share == 1 / 16


def test_what_becomes_less_is_not_halved_again():
    governor = Governor()
    assert governor.look(1.0, 0.0)
    assert not any(governor.look(fill, 0.0) for fill in (0.9, 0.8, 0.7))
    assert governor.look(0.75, 0.0)
    assert governor.share == 1 / 4


def test_after_a_second_of_calm_it_is_doubled_until_nothing_is_left_out():
    governor = Governor()
    governor.look(0.9, 0.0)
    governor.look(0.9, 0.0)
    assert not governor.look(0.0, 1.0)
    assert not governor.look(0.0, 1.9)
    assert governor.look(0.0, 2.0)
    assert governor.share == 1 / 2
    assert not governor.look(0.3, 2.5)
    assert not governor.look(0.0, 3.1)
    assert governor.look(0.0, 4.2)
    assert governor.share == 1.0
    assert governor.threshold == 0xFFFFFFFF


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 2)), max_size=100))
def test_the_share_stays_in_its_bounds_and_the_threshold_follows_it(looks):
    governor, now = Governor(), 0.0
    for fill, pause in looks:
        now += pause
        before = governor.share
        assert governor.look(fill, now) == (governor.share != before)
        assert 1 / 4096 <= governor.share <= 1
        assert abs(governor.threshold / 0xFFFFFFFF - governor.share) < 1e-6


def test_the_backlog_says_how_full_it_is_and_gives_what_is_left_of_a_batch():
    backlog = Backlog(100)
    data = b"".join(bytes(8) + bytes([number]) * 8 for number in range(40))
    backlog.put(Batch(data, 40, 8))
    assert backlog.fill == 0.4
    assert [record[0] for record in backlog.take(3)] == [0, 1, 2]
    assert backlog.fill == 0.37
    (rest,) = backlog.take_all()
    assert [record[0] for record in rest.records(0, rest.count)] == list(range(3, 40))
    assert (backlog.fill, len(backlog), backlog.take_all()) == (0.0, 0, [])


def test_the_rest_of_a_batch_of_records_of_different_sizes():
    batch = Batch(b"aabbbc", 3, spans=[(0, 2), (2, 5), (5, 6)])
    backlog = Backlog(10)
    backlog.put(batch)
    assert backlog.take(1) == [b"aa"]
    (rest,) = backlog.take_all()
    assert rest.records(0, rest.count) == [b"bbb", b"c"]

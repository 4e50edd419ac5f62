"""The ring walk against buffers that a model of the kernel's producer wrote."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.backlog import Backlog
from tracescope.attach.ring import Batch, even, walk

SIZE = 4096
MASK = SIZE - 1
BUSY, DISCARD = 1 << 31, 1 << 30

record = st.tuples(st.binary(max_size=60), st.sampled_from(["ok"] * 8 + ["discard", "busy"]))


def produce(records, start, fill=b"\xaa"):
    """Data pages as the kernel maps them, twice, and the producer's position."""
    data = bytearray(fill * SIZE)
    position = start
    for body, state in records:
        word = len(body) | {"ok": 0, "discard": DISCARD, "busy": BUSY}[state]
        piece = (struct.pack("=II", word, position & MASK) + body).ljust((len(body) + 15) & ~7, b"\0")
        for offset, byte in enumerate(piece):
            data[(position + offset) & MASK] = byte
        position += len(piece)
    return memoryview(bytes(data) * 2), position


starts = st.integers(0, 2**40).map(lambda number: number * 8)


@given(st.lists(record, max_size=40), starts)
def test_complete_records_come_out_in_order_up_to_the_first_busy_one(records, start):
    data, producer = produce(records, start)
    spans, position = walk(data.cast("I"), MASK, start, producer)
    states = [state for _, state in records]
    ready = records[: states.index("busy")] if "busy" in states else records
    first = start & MASK
    assert [bytes(data[first + a : first + b]) for a, b in spans] == [body for body, state in ready if state == "ok"]
    assert position == start + sum((len(body) + 15) & ~7 for body, _ in ready)


@given(st.lists(record, min_size=1, max_size=40), starts, st.data())
def test_a_record_cut_by_the_limit_is_left_for_the_next_call(records, start, data_):
    data, producer = produce([(body, "ok") for body, _ in records], start)
    limit = data_.draw(st.integers(start, producer))
    first, middle = walk(data.cast("I"), MASK, start, limit)
    second, end = walk(data.cast("I"), MASK, middle, producer)
    assert middle <= limit
    assert end == producer
    assert len(first) + len(second) == len(records)


@given(st.integers(0, 100), starts, st.integers(1, 30), st.none() | st.integers(0, 99))
def test_records_of_one_size_are_counted_up_to_the_first_that_is_not_ready(count, start, size, odd):
    count = min(count, SIZE // (size + 16))
    records = [(bytes(size), "busy" if number == odd else "ok") for number in range(count)]
    data, producer = produce(records, start)
    ready = even(data.cast("I"), MASK, start, producer, size)
    assert ready == (count if odd is None else min(count, odd))


def test_a_full_ring_is_read_whole():
    data, producer = produce([(bytes(24), "ok")] * (SIZE // 32), 8 * 77)
    assert producer - 8 * 77 == SIZE
    assert even(data.cast("I"), MASK, 8 * 77, producer, 24) == SIZE // 32
    spans, position = walk(data.cast("I"), MASK, 8 * 77, producer)
    assert (len(spans), position) == (SIZE // 32, producer)


def batch(first, count, size=16):
    room = (size + 15) & ~7
    data = b"".join(bytes(8) + struct.pack("=Q", first + n).ljust(room - 8, b"\0") for n in range(count))
    return Batch(data, count, size)


def numbers(records):
    return [struct.unpack_from("=Q", record)[0] for record in records]


@given(
    st.lists(st.integers(1, 20), max_size=20),
    st.lists(st.none() | st.integers(0, 25), max_size=30),
    st.integers(1, 200),
)
def test_a_backlog_gives_each_record_once_and_counts_what_it_dropped(counts, takes, limit):
    backlog, taken, put = Backlog(limit), [], 0
    steps = iter(takes)
    for count in counts:
        backlog.put(batch(put, count))
        put += count
        step = next(steps, 0)
        got = backlog.take(step)
        assert step is None or len(got) <= step
        taken += numbers(got)
    taken += numbers(backlog.take())
    assert taken == sorted(set(taken))
    assert len(taken) + backlog.dropped == put
    assert len(backlog) == 0


def test_a_backlog_drops_the_oldest():
    backlog = Backlog(25)
    for first in range(0, 50, 10):
        backlog.put(batch(first, 10))
    assert numbers(backlog.take()) == list(range(30, 50))
    assert backlog.dropped == 30


@pytest.mark.parametrize("size", [1, 8, 15, 16, 17, 100])
def test_a_batch_of_one_size_is_cut_where_the_kernel_cut_it(size):
    records = [bytes([number]) * size for number in range(5)]
    data, producer = produce([(body, "ok") for body in records], 0)
    assert Batch(bytes(data[:producer]), 5, size).records(1, 4) == records[1:4]
    spans, _ = walk(data.cast("I"), MASK, 0, producer)
    assert Batch(bytes(data[:producer]), 5, spans=spans).records(1, 4) == records[1:4]

"""The perf buffer's records, as kernel/events/ring_buffer.c and bpf_trace.c lay them out."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.kernel.perf_ring import HEADER, between, records
from tracescope.attach.perf_buffer import batch_of, body_of, lost_of

SAMPLE, LOST = 9, 2


def sample(body: bytes) -> bytes:
    """As perf_output_sample() writes it: the length counts the padding that makes the whole a multiple of 8."""
    size = (len(body) + 4 + 7 & ~7) - 4
    return HEADER.pack(SAMPLE, 0, HEADER.size + 4 + size) + struct.pack("=I", size) + body.ljust(size, b"\0")


def lost(count: int) -> bytes:
    return HEADER.pack(LOST, 0, HEADER.size + 16) + struct.pack("=QQ", 77, count)


@given(st.binary(min_size=8, max_size=300))
def test_a_sample_is_what_was_handed_over_with_padding_behind_it(body):
    found = body_of(sample(body))
    assert found.startswith(body)
    assert len(found) - len(body) < 8
    assert not found[len(body) :].strip(b"\0")


@given(st.integers(0, 2**40))
def test_lost_records_are_counted(count):
    assert lost_of(lost(count)) == count


def test_other_records_say_nothing():
    assert lost_of(HEADER.pack(1, 0, HEADER.size)) == 0


@given(st.lists(st.binary(min_size=8, max_size=200), max_size=20), st.integers(0, 511))
def test_records_that_go_around_the_end_are_whole(bodies, shift):
    start = shift * 8
    ring, head, put = bytearray(4096), start, []
    for record in map(sample, bodies):
        if head + len(record) - start > len(ring):
            break
        for byte in record:
            ring[head % len(ring)] = byte
            head += 1
        put.append(record)
    assert list(records(between(memoryview(ring), start, head))) == put


@given(st.binary(max_size=64))
def test_any_bytes_come_to_an_end(data):
    assert sum(map(len, records(data))) <= len(data)


@given(st.lists(st.binary(max_size=50)))
def test_a_batch_gives_its_records_back(found):
    batch = batch_of(found)
    assert batch.count == len(found)
    assert batch.records(0, batch.count) == found

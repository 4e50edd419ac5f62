"""Pages of the trace ring buffer: recorded from Linux 6.18 beside the kernel's own text of them, made, cut, random."""

from __future__ import annotations

import re
import struct
import sys
from contextlib import suppress

import pytest
from conftest import TESTS
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.tracefs.pages import Page, decode_page, parse_header_page, parse_stats
from tracescope.errors import Damaged

RECORDED = TESTS / "fixtures" / "tracefs"
LAYOUT = parse_header_page((RECORDED / "header_page").read_bytes())
PAGE = (RECORDED / "cpu0.page").read_bytes()
_LINE = re.compile(r"-(\d+) +\[000\] \S+ +(\d+)\.(\d{6}): (\w+)")

pytestmark = pytest.mark.skipif(sys.byteorder != "little", reason="the pages were recorded on a little-endian machine")


def page(time: int, *words: int | bytes, commit: int | None = None, flags: int = 0, after: bytes = b"") -> bytes:
    data = b"".join(word if isinstance(word, bytes) else struct.pack("=I", word) for word in words)
    return struct.pack("=QQ", time, (len(data) if commit is None else commit) | flags) + data + after


def header(kind: int, delta: int) -> int:
    return kind | delta << 5


def test_the_recorded_header_page():
    assert (LAYOUT.time, LAYOUT.commit, LAYOUT.commit_size, LAYOUT.data) == (0, 8, 8, 16)


def test_times_and_tasks_are_those_that_the_kernel_writes():
    lines = _LINE.findall((RECORDED / "trace").read_text())
    records = decode_page(PAGE, LAYOUT).records

    assert len(lines) == 7
    # The kernel rounds to microseconds.
    assert [round(time / 1000) for time, _ in records] == [int(line[1]) * 10**6 + int(line[2]) for line in lines]
    assert [struct.unpack_from("=i", data, 4)[0] for _, data in records] == [int(line[0]) for line in lines]


def test_events_of_one_kind_have_one_number():
    lines = _LINE.findall((RECORDED / "trace").read_text())
    numbers = [struct.unpack_from("=H", data)[0] for _, data in decode_page(PAGE, LAYOUT).records]
    assert len(set(zip(numbers, (line[3] for line in lines), strict=True))) == len({line[3] for line in lines})


@pytest.mark.parametrize("size", range(len(PAGE)))
def test_a_cut_page_is_damaged_or_shorter(size):
    with pytest.raises(Damaged):
        decode_page(PAGE[:size], LAYOUT)


@given(st.binary(max_size=200))
def test_random_bytes_are_records_or_damaged(data):
    try:
        found = decode_page(data, LAYOUT)
    except Damaged:
        return
    assert sum(len(record) for _, record in found.records) <= len(data)


@given(st.integers(0, len(PAGE) - 1), st.integers(0, 255))
def test_a_wrong_byte_does_no_harm(at, value):
    wrong = PAGE[:at] + bytes((value,)) + PAGE[at + 1 :]
    with suppress(Damaged):
        decode_page(wrong, LAYOUT)


@given(st.lists(st.tuples(st.integers(0, (1 << 27) - 1), st.binary(min_size=1, max_size=300)), max_size=20))
def test_what_is_written_is_read(records):
    words: list[int | bytes] = []
    wanted, time = [], 1000
    for delta, data in records:
        padded = data.ljust(-(-len(data) // 4) * 4, b"\0")
        time += delta
        if len(padded) <= 112:
            words += [header(len(padded) // 4, delta), padded]
        else:
            words += [header(0, delta), len(padded) + 4, padded]
        wanted.append((time, padded))
    assert decode_page(page(1000, *words), LAYOUT) == Page(wanted, 0)


def test_a_time_extend_adds_to_the_time():
    words = header(30, 5), 3, header(1, 7), b"abcd"
    assert decode_page(page(100, *words), LAYOUT).records == [(100 + 5 + (3 << 27) + 7, b"abcd")]


def test_an_absolute_time_replaces_it():
    words = header(31, 5), 3, header(1, 7), b"abcd"
    assert decode_page(page(100, *words), LAYOUT).records == [(5 + (3 << 27) + 7, b"abcd")]


def test_an_absolute_time_keeps_the_upper_bits_of_the_time_before():
    before = 3 << 59
    words = header(31, 5), 3, header(1, 0), b"abcd"
    assert decode_page(page(before, *words), LAYOUT).records == [(before + _next(before, 5 + (3 << 27)), b"abcd")]


def _next(before: int, stamp: int) -> int:
    return stamp if before + stamp >= before else stamp + (1 << 59)


def test_padding_ends_a_page_and_a_discarded_record_keeps_its_time():
    words = header(29, 9), 8, b"gone", header(1, 2), b"abcd", header(29, 0), header(1, 1), b"none"
    assert decode_page(page(100, *words), LAYOUT).records == [(111, b"abcd")]


def test_missed_records_are_counted_where_the_kernel_says_how_many():
    record = header(1, 0), b"abcd"
    counted = page(0, *record, flags=1 << 31 | 1 << 30, after=struct.pack("=Q", 42))
    assert decode_page(counted, LAYOUT).missed == 42
    assert decode_page(page(0, *record, flags=1 << 31), LAYOUT).missed is None
    assert decode_page(page(0, *record), LAYOUT).missed == 0


@pytest.mark.parametrize(
    "words", [(header(5, 0), b"abcd"), (header(0, 0), 3, b"abcd"), (header(0, 0), 400), (header(30, 0),)]
)
def test_a_record_beyond_the_page_is_damage(words):
    with pytest.raises(Damaged):
        decode_page(page(0, *words), LAYOUT)


def test_stats():
    said = b"entries: 3\noverrun: 5\ncommit overrun: 1\nbytes: 88\ndropped events: 7\nread events: 11\n"
    stats = parse_stats(said)
    assert (stats.waiting, stats.overrun, stats.dropped, stats.read, stats.lost) == (3, 5, 8, 11, 13)
    assert parse_stats(b"").lost == 0


def test_a_header_page_without_its_fields_is_damaged():
    with pytest.raises(Damaged, match="timestamp"):
        parse_header_page(b"\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n")

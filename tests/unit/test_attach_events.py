"""Records built by a model of the program are decoded to what went in."""

from __future__ import annotations

import json
import os
import struct
from datetime import UTC, datetime
from functools import reduce
from operator import or_

import pytest
from formats import DATA_LOC, EXEC_FORMATS, EXECVEAT, KINDS, OFFSETS, OPENAT, OPENAT_EXIT, REL_LOC, SWITCH
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach.decode.decode import Decoder
from tracescope.attach.decode.event_lines import COLUMNS, json_line, text_line
from tracescope.attach.decode.events import Clock, Event, errno_name, event_json, event_words
from tracescope.attach.meaning import meaning_of, names_of
from tracescope.attach.plan import plan
from tracescope.attach.program.exec_calls import TEXT_OFFSET
from tracescope.attach.program.exec_text import TEXT, ExecFlag
from tracescope.attach.record.layout import HEADER
from tracescope.attach.record.values import Hex
from tracescope.printable import printable

HEAD = {"time_ns": 1000, "cpu": 1, "pid": 10, "tid": 11, "ppid": 9, "flags": 0, "comm": b"name"}
CLOCK = Clock(1_700_000_000_000_000_000)


def header(probe=0, **values):
    head = {**HEAD, **values}
    numbers = (head["time_ns"], head["cpu"], probe, head["pid"], head["tid"], head["ppid"], head["flags"])
    return HEADER.pack(*numbers, head["comm"])


def decode(format_, record, **options):
    return Decoder(plan([format_], offsets=OFFSETS, **options), CLOCK).decode(record)


texts = st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"x"))


def text_of(data):
    return data.decode("utf-8", "surrogateescape")


@given(st.binary(max_size=16), st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1))
def test_integers_and_character_arrays(comm, pid, state):
    comm = comm.ljust(16, b"\0")
    raw = struct.pack("=16siiq16sii", comm, pid, 120, state, b"next\0rest", pid, -5)
    args = decode(SWITCH, header() + raw).args
    assert args["prev_comm"] == text_of(comm.split(b"\0")[0])
    assert (args["prev_pid"], args["next_pid"], args["next_prio"], args["next_comm"]) == (pid, pid, -5, "next")


def test_every_kind_of_field():
    raw = struct.pack(
        "=bBhIqQQ8s6s?x12si", -1, 255, -2, 2**32 - 1, -3, 2**64 - 1, 0xFFFF888000001234, b"text", b"\1\2\3\4\5\6", True,
        bytes(range(12)), -1,
    )  # fmt: skip
    assert decode(KINDS, header() + raw).args == {
        "s8": -1,
        "u8": 255,
        "s16": -2,
        "u32": 2**32 - 1,
        "s64": -3,
        "u64": 2**64 - 1,
        "pointer": "0xffff888000001234",
        "text": "text",
        "mac": "01:02:03:04:05:06",
        "yes": True,
        "thing": {"raw": "0x000102030405060708090a0b"},
        "state": "GONE",
    }


@pytest.mark.parametrize(
    ("state", "shown"), [(0, "0"), (1, "S"), (3, "S|D"), (0x13, "S|D|X"), (0x100, "0x100"), (0x101, "S|0x100")]
)
def test_flags_are_names_and_the_rest_in_hexadecimal(state, shown):
    raw = struct.pack("=16siiq16sii", b"", 0, 0, state, b"", 0, 0)
    assert decode(SWITCH, header() + raw).args["prev_state"] == shown


@given(texts, st.binary(max_size=40), st.integers(0, 255), st.booleans())
def test_dynamic_fields(name, data, tiny, yes):
    name += b"\0"
    raw = struct.pack("=IBxxxI?xxx", len(name) << 16 | 24, tiny, len(data) << 16 | 64, yes)
    args = decode(DATA_LOC, header() + raw + name + data).args
    assert args == {"name": text_of(name[:-1]), "tiny": tiny, "data": {"raw": f"0x{data.hex()}"}, "yes": yes}
    assert list(args) == ["name", "tiny", "data", "yes"]


def test_a_dynamic_field_that_was_cut_or_not_read_says_so():
    raw = struct.pack("=iI", 7, 5000 << 16 | 4)
    args = decode(REL_LOC, header() + raw + b"n" * 4096).args
    assert args == {"number": 7, "name": "n" * 4096, "name_truncated": True}
    raw = struct.pack("=iI", 7, 5 << 16 | 4)
    event = decode(REL_LOC, header(flags=1) + raw + b"\0" * 5)
    assert event.args == {"number": 7, "name": None}
    assert event_words(event) == "number=7 name=(unreadable)"


def open_flags(words):
    """The number again, out of the names."""
    names = names_of(meaning_of("openat", "flags", "int"))
    return reduce(or_, (int(word, 0) if word[0].isdigit() else names[word] for word in words.split("|")))


@given(st.integers(-(2**31), 2**31 - 1), st.integers(0, 2**32 - 1))
def test_an_argument_is_as_wide_as_its_type_whatever_the_upper_half_holds(number, garbage):
    low = number & 0xFFFFFFFF
    raw = struct.pack("=QQQQQ", 257 | garbage << 32, low | garbage << 32, 0x7FFE00000000, low, 0o100644 | garbage << 32)
    args = decode(OPENAT, header() + raw).args
    assert args.keys() == {"dfd", "filename", "flags", "mode"}
    assert args["dfd"] == ("AT_FDCWD" if number == -100 else number)
    assert args["filename"] == {"address": "0x7ffe00000000"}
    assert open_flags(args["flags"]) == low


@pytest.mark.parametrize(("ret", "name"), [(-2, "ENOENT"), (-512, "ERESTARTSYS"), (3, None), (0, None), (-4096, None)])
def test_a_result_is_at_the_top_with_the_name_of_its_error(ret, name):
    event = decode(OPENAT_EXIT, header() + struct.pack("=qq", 257, ret))
    assert (event.ret, event.args, errno_name(ret)) == (ret, {}, name)
    shown = event_json(event)
    assert shown["ret"] == ret
    assert shown.get("errno") == name
    assert event_words(event) == (f"ret={ret} {name}" if name else f"ret={ret}")


def exec_record(filename, argv, *, flags=0, argc=None, envc=3, unread=0, raw=None):
    text = b"".join(part + b"\0" for part in (filename, *argv) if part is not None)
    numbers = (flags, len(argv) if argc is None else argc, envc, len(text), unread & (2**64 - 1), unread >> 64)
    raw = raw or struct.pack("=QQQQQQ", 59, 1, 2, 3, 0, 0)
    record = header() + raw + TEXT.pack(*numbers)
    assert len(record) == TEXT_OFFSET + TEXT.size
    return record + text


@given(texts, st.lists(texts | st.none(), max_size=128))
def test_the_arguments_of_execve_with_those_that_could_not_be_read(filename, argv):
    unread = sum(1 << number for number, part in enumerate(argv) if part is None)
    args = decode(EXEC_FORMATS[0], exec_record(filename, argv, unread=unread)).args
    shown = [None if part is None else text_of(part) for part in argv]
    assert args == {"filename": text_of(filename), "argv": shown, "envp": 3}


def test_what_execve_cuts_or_cannot_read_is_flagged():
    flags = ExecFlag.ARGV_CUT | ExecFlag.ENVP_CUT
    event = decode(EXEC_FORMATS[1], exec_record(b"/bin/x", [b"a", b""], flags=flags, envc=513))
    assert event.args == {
        "filename": "/bin/x",
        "argv": ["a", ""],
        "argv_truncated": True,
        "envp": 513,
        "envp_truncated": True,
    }
    assert event_words(event) == 'filename=/bin/x argv=["a", ""]… envp=513…'
    flags = ExecFlag.FILENAME_UNREAD | ExecFlag.ARGV_UNREAD | ExecFlag.ENVP_UNREAD
    event = decode(EXEC_FORMATS[0], exec_record(None, [b"a"], flags=flags))
    assert event.args == {"filename": None, "argv": ["a", None], "envp": None}
    assert event_words(event) == 'filename=(unreadable) argv=["a", (unreadable)] envp=(unreadable)'


@pytest.mark.parametrize(
    ("found", "argc", "flags", "shown"),
    [
        ([b"name", b"x"], 2, 0, ["name", "x"]),
        ([b"/bin/sh", b"script", b"x"], 2, 0, [None, "x"]),
        ([b"/bin/sh", b"-e", b"script"], 1, 0, [None]),
        ([b""], 0, 0, []),
        ([b"/bin/sh", b"script"], 0, ExecFlag.ARGV_UNREAD, ["/bin/sh", "script"]),
    ],
)
def test_arguments_that_the_new_program_found(found, argc, flags, shown):
    record = exec_record(b"script", found, flags=flags | ExecFlag.FROM_MEMORY, argc=argc)
    assert decode(EXEC_FORMATS[0], record).args["argv"] == shown


@pytest.mark.parametrize(("path", "shown"), [(b"/dev/fd/5/true", "true"), (b"/dev/fd/5", ""), (b"/dev/fd/55/x", None)])
def test_the_path_of_execveat_without_its_descriptor(path, shown):
    raw = struct.pack("=QQQQQQ", 322, 5, 1, 2, 3, 0x1000)
    args = decode(EXECVEAT, exec_record(path, [], flags=ExecFlag.FROM_MEMORY, raw=raw)).args
    assert args["filename"] == (text_of(path) if shown is None else shown)
    assert (args["fd"], args["flags"]) == (5, 0x1000)


def test_the_json_is_the_contract():
    event = Event(1_700_000_000_123_456_789, 1, "tracepoint:a:b", 10, 11, 9, "caf\udce9", {"x": "0x1"}, -2, 7)
    assert event_json(event) == {
        "time": "2023-11-14T22:13:20.123456Z",
        "cpu": 1,
        "probe": "tracepoint:a:b",
        "pid": 10,
        "tid": 11,
        "ppid": 9,
        "comm": "caf\udce9",
        "args": {"x": "0x1"},
        "ret": -2,
        "errno": "ENOENT",
        "duration_ns": 7,
    }
    assert datetime.fromisoformat(str(event_json(event)["time"])).utcoffset() is not None
    bare = Event(0, 0, "p", 0, 0, None, "", {})
    assert list(event_json(bare)) == ["time", "cpu", "probe", "pid", "tid", "comm", "args"]


def test_time_is_the_clock_of_the_day():
    event = decode(OPENAT_EXIT, header(time_ns=5) + struct.pack("=qq", 257, 0))
    assert event.time_ns == CLOCK.offset_ns + 5
    before = Clock.now().offset_ns
    assert abs(Clock.now().offset_ns - before) < 10**9


def test_without_offsets_there_is_no_parent():
    record = header() + struct.pack("=qq", 257, 0)
    assert Decoder(plan([OPENAT_EXIT]), CLOCK).decode(record).ppid is None


@given(st.lists(st.text() | st.none(), max_size=4), st.text(), st.integers())
def test_a_line_of_text_steers_no_terminal_and_two_lists_never_look_alike(argv, text, number):
    line = event_words(Event(0, 0, "p", 0, 0, None, "", {"argv": argv, "text": text, "number": number}))
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in line)
    quoted = event_words(Event(0, 0, "p", 0, 0, None, "", {"argv": ['a", "b']}))
    assert quoted != event_words(Event(0, 0, "p", 0, 0, None, "", {"argv": ["a", "b"]}))


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers().map(Hex) | st.text() | texts.map(os.fsdecode),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
_numbers = st.none() | st.integers(-(2**63), 2**63 - 1)


@given(
    st.integers(0, 2**63 - 1),
    texts.map(os.fsdecode),
    _numbers,
    st.dictionaries(st.text(max_size=4), _values, max_size=4),
    st.none() | st.integers(-600, 5),
    _numbers,
    st.none() | st.lists(st.text(max_size=4), max_size=2).map(tuple),
    st.none() | st.text(),
)
def test_a_printed_line_is_the_json_of_the_contract(time_ns, comm, ppid, args, ret, duration, stack, words):
    event = Event(time_ns, 1, "tracepoint:a:b", 10, 11, ppid, comm, args, ret, duration, stack, stack, words)
    assert json_line(event) == json.dumps(event_json(event), separators=(",", ":"))


@given(texts.map(os.fsdecode), st.text())
def test_a_printed_line_of_text_has_the_moment_the_ids_and_the_words(comm, text):
    event = Event(1_700_000_000_123_456_789, 1, "tracepoint:a:b", 10, 11, None, comm, {"x": text})
    moment = datetime.fromtimestamp(1_700_000_000, UTC).astimezone().strftime("%H:%M:%S") + ".123456"
    whole = f"{moment}   1      10      11       - {comm:15} a:b {event_words(event)}"
    assert text_line(event) == printable(whole.rstrip())


@given(st.lists(texts, min_size=1, max_size=8))
def test_bytes_that_are_not_utf8_survive_json(argv):
    event = decode(EXEC_FORMATS[0], exec_record(b"/x", argv))
    again = json.loads(json.dumps(event_json(event)))
    assert [os.fsencode(part) for part in again["args"]["argv"]] == argv


@given(st.binary(max_size=400))
def test_any_bytes_behind_the_header_are_decoded_without_a_traceback_when_long_enough(data):
    for format_ in (SWITCH, KINDS, OPENAT):
        size = plan([format_]).probes[0].fixed_size
        decode(format_, (header() + data).ljust(size, b"\0"))
    decode(DATA_LOC, (header() + data).ljust(72, b"\0"))


def test_the_columns_names_stand_over_the_columns():
    line = text_line(Event(1, 1, "tracepoint:a:b", 1234567, 1234568, 1234569, "comm", {"x": "y"}))
    for name, text in (("pid", "1234567"), ("tid", "1234568"), ("ppid", "1234569")):
        assert COLUMNS.index(f" {name} ") + len(name) + 1 == line.index(text) + len(text)
    assert COLUMNS.index("comm") == line.index("comm")
    assert COLUMNS.index("probe") == line.index("a:b")

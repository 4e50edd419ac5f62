"""Recordings: what was written is read back, whatever happens to the writer or to the file."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope import __version__
from tracescope.errors import Damaged, Missing, Refused
from tracescope.host import LiveHost
from tracescope.recording import Recorder, host_facts, open_recording

EVENTS = [{"event": "fork", "time": "2026-01-01T00:00:00.000000Z", "pid": pid, "comm": "\udcff"} for pid in range(50)]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def record(path: Path, events=EVENTS, lost: int = 3) -> Path:
    with Recorder(path, kind="exec", host={"ncpus": 4}, session={"filters": {"uid": [0]}}) as recorder:
        for event in events:
            recorder.write(event)
        recorder.close(lost)
    return path


def test_what_was_recorded_comes_back(tmp_path: Path):
    recording = open_recording(record(tmp_path / "r"))
    assert list(recording) == EVENTS
    assert (recording.events, recording.lost, recording.complete, recording.notes()) == (50, 3, True, [])
    assert list(recording) == EVENTS


def test_the_header_says_who_recorded_what_and_where(tmp_path: Path):
    header = open_recording(record(tmp_path / "r")).header
    assert (header.kind, header.version, header.ncpus) == ("exec", __version__, 4)
    assert header.session == {"filters": {"uid": [0]}}


def test_the_facts_of_this_host(live_host: LiveHost):
    facts = host_facts(live_host)
    assert facts["uname"] == list(os.uname())
    assert facts["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert facts["ncpus"] == os.cpu_count()


JSON = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
JSON = JSON | st.lists(JSON, max_size=3) | st.dictionaries(st.text(max_size=3), JSON, max_size=3)
ROWS = st.lists(st.dictionaries(st.text(max_size=3).filter(bool), JSON, max_size=3), max_size=9)


@given(rows=ROWS)
def test_any_event_comes_back(tmp_path_factory, rows):
    assert list(open_recording(record(tmp_path_factory.mktemp("any") / "r", rows))) == rows


def test_the_file_is_for_its_owner_alone(tmp_path: Path):
    assert stat.S_IMODE(record(tmp_path / "r").stat().st_mode) == 0o600


def test_an_existing_file_is_not_overwritten_unless_asked(tmp_path: Path):
    path = tmp_path / "r"
    path.write_text("precious")
    with pytest.raises(Refused, match="is there already"):
        Recorder(path, kind="exec")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Refused, match="is there already"):
        Recorder(tmp_path / "link", kind="exec")
    assert path.read_text() == "precious"
    Recorder(path, kind="exec", overwrite=True).close()
    assert open_recording(path).header.kind == "exec"


def test_a_folder_that_is_not_there_is_a_clear_refusal(tmp_path: Path):
    with pytest.raises(Refused, match="cannot be written"):
        Recorder(tmp_path / "no" / "r", kind="exec")


def test_a_full_disk_is_a_clear_refusal():
    with pytest.raises(Refused, match="cannot be written") as caught:
        Recorder("/dev/full", kind="exec", overwrite=True)
    assert caught.value.why == os.strerror(28)


def test_events_are_on_disk_a_second_later(tmp_path: Path):
    clock = Clock()
    recorder = Recorder(tmp_path / "r", kind="exec", clock=clock)
    recorder.write(EVENTS[0])
    recorder.pulse(0)
    assert list(open_recording(recorder.path)) == []
    clock.now = 1.0
    recorder.pulse(7)
    recording = open_recording(recorder.path)
    assert (list(recording), recording.lost, recording.complete) == (EVENTS[:1], 7, False)
    clock.now = 2.0
    recorder.write(EVENTS[1])
    assert list(open_recording(recorder.path)) == EVENTS[:2]
    recorder.close()


def test_a_storm_does_not_pile_up_in_memory(tmp_path: Path):
    recorder = Recorder(tmp_path / "r", kind="exec", clock=Clock())
    for _ in range(20):
        recorder.write({"text": "x" * 100_000})
    assert (tmp_path / "r").stat().st_size > 1 << 20
    recorder.close()


def test_a_quiet_session_does_not_grow_the_file(tmp_path: Path):
    recorder = Recorder(tmp_path / "r", kind="exec")
    recorder.flush(0)
    size = recorder.path.stat().st_size
    for _ in range(5):
        recorder.flush(0)
    assert recorder.path.stat().st_size == size
    recorder.close()


def test_nothing_can_be_written_after_the_end(tmp_path: Path):
    recorder = Recorder(tmp_path / "r", kind="exec")
    recorder.close()
    recorder.close()
    recorder.write(EVENTS[0])
    with pytest.raises(Refused, match="is closed"):
        recorder.flush(0)


def test_a_killed_writer_leaves_what_it_had_flushed(tmp_path: Path):
    program = """
import sys, time
from tracescope.recording import Recorder
recorder = Recorder(sys.argv[1], kind="exec")
for pid in range(1000):
    recorder.write({"event": "fork", "pid": pid})
recorder.flush(5)
recorder.write({"event": "fork", "pid": 1000})
print("flushed", flush=True)
time.sleep(60)
"""
    path = tmp_path / "r"
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"flushed\n"
        writer.send_signal(signal.SIGKILL)
    recording = open_recording(path)
    assert [event["pid"] for event in recording] == list(range(1000))
    assert (recording.lost, recording.complete) == (5, False)
    assert recording.notes() == ["the recording stops: its writer did not end it"]


@given(cut=st.integers(0, 10_000))
def test_a_cut_file_gives_every_line_before_the_cut(tmp_path_factory, cut):
    path = record(tmp_path_factory.mktemp("cut") / "r")
    data = path.read_bytes()
    header = data.index(b"\n") + 1
    cut = header + cut % (len(data) - header)
    path.write_bytes(data[:cut])
    recording = open_recording(path)
    assert list(recording) == EVENTS[: data[header:cut].count(b"\n")]
    assert (recording.damaged, recording.complete) == (0, False)
    assert recording.cut == (data[cut - 1 : cut] != b"\n")


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_bytes_cost_only_their_lines(tmp_path_factory, damage):
    path = record(tmp_path_factory.mktemp("damage") / "r")
    data = bytearray(path.read_bytes())
    header = data.index(b"\n") + 1
    touched = set()
    before = bytes(data)
    for where, byte in damage:
        at = header + where % (len(data) - header)
        touched |= {before[header:at].count(b"\n"), before[header : at + 1].count(b"\n")}
        data[at] = byte
    path.write_bytes(data)
    recording = open_recording(path)
    found = [json.dumps(event) for event in recording]
    for number, event in enumerate(EVENTS):
        if number not in touched:
            assert json.dumps(event) in found


def test_what_is_gone_from_the_middle_is_counted(tmp_path: Path):
    path = record(tmp_path / "r")
    lines = path.read_bytes().split(b"\n")
    lines[10] = b'{"event": "fo\0\xff'
    del lines[20:25]
    path.write_bytes(b"\n".join(lines))
    recording = open_recording(path)
    assert len(list(recording)) == 44
    assert (recording.damaged, recording.missing) == (1, 6)
    assert recording.notes() == ["1 line could not be read", "6 recorded events are not in the file any more"]


@pytest.mark.parametrize(
    "line", [b"", b"5", b"null", b"[1]", b"[" * 100_000, b'{"a":1},{"b":2}', b"{" * 50_000, b"9" * 5000]
)
def test_a_line_that_is_no_object_is_one_damage(tmp_path: Path, line: bytes):
    path = record(tmp_path / "r")
    header, _, rest = path.read_bytes().partition(b"\n")
    path.write_bytes(header + b"\n" + line + b"\n" + rest)
    recording = open_recording(path)
    assert (list(recording), recording.damaged) == (EVENTS, 1)


def test_a_line_without_end_does_not_fill_the_memory(tmp_path: Path):
    path = record(tmp_path / "r")
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + (64 << 20))
    recording = open_recording(path)
    assert list(recording) == EVENTS
    assert recording.damaged > 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"PK\x03\x04",
        b"\0" * 1000,
        b'{"event":"exec"}\n',
        b'{"tracescope":\n',
        b'{"tracescope":5}\n',
        b'{"tracescope":{"schema":1}}\n',
        b'{"tracescope":{"schema":"1","kind":"exec"}}\n',
        b'{"tracescope":{"schema":1,"kind":["exec"]}}\n',
    ],
)
def test_a_foreign_file_is_refused_with_what_why_and_fix(tmp_path: Path, data: bytes):
    path = tmp_path / "foreign"
    path.write_bytes(data)
    with pytest.raises(Damaged, match="no recording") as caught:
        open_recording(path)
    assert caught.value.why
    assert caught.value.fix


def test_a_later_schema_is_refused(tmp_path: Path):
    path = tmp_path / "later"
    path.write_bytes(b'{"tracescope":{"schema":2,"kind":"exec"}}\n')
    with pytest.raises(Refused, match="later tracescope"):
        open_recording(path)


def test_a_header_with_odd_values_is_read_without_them(tmp_path: Path):
    path = tmp_path / "odd"
    path.write_bytes(b'{"tracescope":{"schema":1,"kind":"attach","host":5,"session":[],"time":7}}\n')
    header = open_recording(path).header
    assert (header.host, header.session, header.time, header.ncpus) == ({}, {}, "7", None)


def test_a_file_that_is_not_there_is_missing(tmp_path: Path):
    with pytest.raises(Missing):
        open_recording(tmp_path / "nothing")
    with pytest.raises(Damaged, match="cannot be read"):
        open_recording(tmp_path)

"""Text that is not in memory when a system call begins: shown as it is, once, with what was true at the entry."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from attached import HOST, decoded

from tracescope.attach.ask.asked import Asked
from tracescope.attach.backend import BccBackend
from tracescope.attach.decode.events import Event
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.launch import Launched, launch
from tracescope.attach.libbpf.backend import LibbpfBackend
from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters
from tracescope.attach.program import cold
from tracescope.attach.session import Counts, Session
from tracescope.attach.targets.find import find_targets

OPENAT = "tracepoint:syscalls:sys_enter_openat"
OPENAT_EXIT = "tracepoint:syscalls:sys_exit_openat"
OTHERS = tuple(f"tracepoint:syscalls:sys_enter_{call}" for call in ("mkdir", "rmdir", "symlink", "unlink"))
RENAME = "tracepoint:syscalls:sys_enter_rename"
BACKENDS = {"bcc": BccBackend(), "libbpf": LibbpfBackend()}
PYTHON = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
def never_touched(text):
    file = os.memfd_create("page")
    os.write(file, text + bytes(1))
    return ctypes.c_void_p(libc.mmap(None, 4096, 1, 2, file, 0))
"""
CONDITIONED = """
libc.openat(-100, never_touched(b"/no/such/cold"), 0)
libc.openat(-100, b"/no/such/warm", 0)
"""


@pytest.fixture(scope="module")
def opener(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("program") / "never_touched"
    subprocess.run(["gcc", "-O1", "-o", path, Path(__file__).parent / "programs" / "never_touched.c"], check=True)
    return str(path)


@contextmanager
def tracing(
    command: Sequence[str], *probes: str, backend: str = "libbpf", transport: Transport | None = None
) -> Iterator[tuple[Session, Launched]]:
    """The command runs as soon as it is traced; what it leaves running is killed."""
    child = launch(command)
    try:
        targets, filters = find_targets(HOST, probes), Filters(tree=(child.pid,))
        with open_session(HOST, targets, filters, backend=BACKENDS[backend], transport=transport) as session:
            session.wait_running(120)
            child.release()
            yield session, child
    finally:
        child.abandon()
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()


def test_with_many_probes_one_program_is_at_the_return_of_all_calls(opener, tmp_path):
    files = [holding(tmp_path, number, f"/no/such/{number}") for number in range(20)]
    with tracing([opener, *files], OPENAT, OPENAT_EXIT, *OTHERS) as (session, child):
        assert "raw_returned" in session.program_text
        child.wait()
        found, counts = outcome(session)
    entries, ends = ([event for event in found if event.probe == probe] for probe in (OPENAT, OPENAT_EXIT))
    assert names(entries)[-40:] == [name for number, file in enumerate(files) for name in (file, f"/no/such/{number}")]
    assert len(entries) == len(ends)
    assert (counts.events, counts.lost) == (len(found), 0)


def outcome(session: Session) -> tuple[list[Event], Counts]:
    session.stop()
    return decoded(session), session.counts()


def in_python(source: str, *probes: str) -> list[Event]:
    """What a script does with arguments from `never_touched(bytes)`; counts are exact."""
    with tracing([sys.executable, "-I", "-S", "-c", PYTHON + source], *probes) as (session, child):
        assert child.wait() == 0
        found, counts = outcome(session)
    assert (counts.events, counts.lost) == (len(found), 0)
    return found


def holding(folder: Path, number: int, text: str) -> str:
    """A file that holds the text."""
    path = folder / f"file {number}"
    path.write_bytes(text.encode() + b"\0")
    return str(path)


def names(events: Iterable[Event]) -> list[object]:
    return [event.args["filename"] for event in events]


@pytest.mark.parametrize("transport", Transport)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_name_is_shown_once_and_counts_are_exact(opener, tmp_path, backend, transport):
    files = [holding(tmp_path, number, f"/no/such/{number}") for number in range(200)]
    with tracing([opener, *files], OPENAT, backend=backend, transport=transport) as (session, child):
        assert child.wait() == 0
        found, counts = outcome(session)
    expected = [name for number, file in enumerate(files) for name in (file, f"/no/such/{number}")]
    assert names(found)[-len(expected) :] == expected
    assert [event.args["flags"] for event in found[-2:]] == ["O_RDONLY", "O_RDONLY|O_APPEND"]
    assert (counts.events, counts.lost, counts.dropped) == (len(found), 0, 0)


def test_the_event_has_the_time_of_the_entry_and_comes_before_that_of_the_return(opener, tmp_path):
    with tracing([opener, holding(tmp_path, 0, "/no/such/file")], OPENAT, OPENAT_EXIT) as (session, child):
        child.wait()
        found, _ = outcome(session)
    entry, end = found[-2:]
    assert (entry.probe, entry.args["filename"]) == (OPENAT, "/no/such/file")
    assert (end.probe, end.ret) == (OPENAT_EXIT, -errno.ENOENT)
    assert 0 < end.time_ns - entry.time_ns < 100_000_000


@pytest.fixture
def fifo(tmp_path) -> str:
    """A file that holds the path of a FIFO that nobody writes to."""
    os.mkfifo(tmp_path / "fifo")
    return holding(tmp_path, 0, str(tmp_path / "fifo"))


def wait_until_it_sleeps(child: Launched) -> None:
    deadline = time.monotonic() + 20
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_call_that_is_killed_while_it_blocks_is_shown(opener, fifo, tmp_path):
    with tracing([opener, fifo], OPENAT) as (session, child):
        wait_until_it_sleeps(child)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        found, counts = outcome(session)
    assert names(found)[-2:] == [fifo, str(tmp_path / "fifo")]
    assert (counts.events, counts.lost) == (len(found), 0)


@pytest.mark.parametrize("transport", Transport)
def test_a_call_that_still_blocks_at_the_end_is_shown(opener, fifo, tmp_path, transport):
    with tracing([opener, fifo], OPENAT, transport=transport) as (session, child):
        wait_until_it_sleeps(child)
        found, counts = outcome(session)
    assert names(found)[-2:] == [fifo, str(tmp_path / "fifo")]
    assert found[-1].args["flags"] == "O_RDONLY|O_APPEND"
    assert found[-1].time_ns >= found[-2].time_ns
    assert (counts.events, counts.lost) == (len(found), 0)


@pytest.mark.parametrize("probes", [[OPENAT], [OPENAT, *OTHERS]], ids=["its return", "all returns"])
@pytest.mark.parametrize("transport", Transport)
def test_a_call_that_blocks_for_long_is_shown_meanwhile_and_once(opener, fifo, tmp_path, transport, probes):
    path, found, deadline = str(tmp_path / "fifo"), [], time.monotonic() + 20
    # Behind it one that does not block: its record can wait again.
    behind = holding(tmp_path, 1, "/no/such/file")
    with tracing([opener, fifo, behind], *probes, transport=transport) as (session, child):
        while not blocked_in(found):
            assert time.monotonic() < deadline
            time.sleep(0.05)
            found += decoded(session)
        assert names(found)[-2:] == [fifo, path]
        assert child.poll() is None
        # It may look again.
        time.sleep(0.6)
        end = writer(path, deadline)
        assert child.wait() == 0
        os.close(end)
        rest, counts = outcome(session)
    assert names(rest)[-2:] == [behind, "/no/such/file"]
    assert names(blocked_in([*found, *rest])) == [path, "/no/such/file"]
    assert (counts.events, counts.lost) == (len(found) + len(rest), 0)


def test_without_room_to_wait_a_call_is_shown_at_once(opener, fifo, tmp_path, monkeypatch):
    monkeypatch.setattr(cold, "_FEWEST", 1)
    monkeypatch.setattr(cold, "_MOST", 1)
    path, found = str(tmp_path / "fifo"), []
    command = f"'{opener}' '{fifo}' & '{opener}' '{fifo}'; wait"
    deadline = time.monotonic() + 20
    with tracing(["/bin/sh", "-c", command], OPENAT) as (session, child):
        while all(event.args["filename"] == path for event in blocked_in(found)):
            assert time.monotonic() < deadline
            found += decoded(session)
        # On a busy machine the one that waits may have been shown by now as well.
        (at_once,) = (event for event in blocked_in(found) if event.args["filename"] != path)
        end = writer(path, deadline)
        assert child.wait() == 0
        os.close(end)
        rest, counts = outcome(session)
    assert [event.args["filename"] for event in blocked_in([*found, *rest]) if event is not at_once] == [path]
    assert at_once.args["filename"].keys() == {"address"}
    assert (counts.events, counts.lost) == (len(found) + len(rest), 0)


def blocked_in(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event.args["flags"] == "O_RDONLY|O_APPEND"]


def writer(path: str, deadline: float) -> int:
    """The FIFO opened for writing, when somebody reads it."""
    while time.monotonic() < deadline:
        with suppress(OSError):
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.01)
    raise AssertionError(path)


def test_what_could_be_read_at_entry_stays_as_it_was_then():
    source = """
libc.rename(never_touched(b"/no/such/first"), b"/no/such/second")
libc.rename(b"/no/such/third", never_touched(b"/no/such/fourth"))
libc.rename(never_touched(b"/no/such/fifth"), never_touched(b"/no/such/sixth"))
libc.rename(b"/no/such/seventh", b"/no/such/eighth")
"""
    pairs = [(event.args["oldname"], event.args["newname"]) for event in in_python(source, RENAME)]
    words = [
        f"/no/such/{word}" for word in ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth"]
    ]
    assert pairs == list(zip(words[::2], words[1::2], strict=True))


def test_addresses_of_sockets_are_read_too():
    source = """
import socket, struct
address = struct.pack("=H2s4s8x", socket.AF_INET, (1).to_bytes(2, "big"), bytes((127, 0, 0, 1)))
libc.connect(socket.socket().fileno(), never_touched(address), 16)
"""
    (event,) = in_python(source, "tracepoint:syscalls:sys_enter_connect")
    assert event.args["uservaddr"] == {"family": "AF_INET", "address": "127.0.0.1", "port": 1}


def test_an_address_that_leads_nowhere_is_shown_as_it_is():
    found = in_python("libc.openat(-100, ctypes.c_void_p(0x1000), 0)\nlibc.openat(-100, b'/no/such', 0)", OPENAT)
    assert names(found)[-2:] == [{"address": "0x1000"}, "/no/such"]


def test_a_condition_is_about_what_is_in_memory_at_entry():
    child = launch([sys.executable, "-I", "-S", "-c", PYTHON + CONDITIONED])
    asked, targets = Asked(where='args.filename =~ "/no/such/*"'), find_targets(HOST, [OPENAT])
    with open_session(HOST, targets, Filters(tree=(child.pid,)), asked=asked, backend=BACKENDS["libbpf"]) as session:
        session.wait_running(120)
        child.release()
        child.wait()
        found, counts = outcome(session)
    assert names(found) == ["/no/such/warm"]
    assert (counts.events, counts.lost) == (1, 0)

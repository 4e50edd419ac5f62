"""TraceScope killed while it records: nothing stays loaded, and the file tells all but the last second.

A program beside it starts another one every few milliseconds and tells it the time: what is in the file is compared
with the time of the kill. What attaches is killed by SIGKILL: from the command line, and from the screen.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attached import loaded_programs, programs_of
from started import Started

from tracescope.recording import open_recording

PROGRAM = (sys.executable, "-c", "import sys; from tracescope.cli.main import main; sys.exit(main())")
ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
SECOND = 1_000_000_000
# Every start has the time of day as its argument.
CLOCK = """
import os, time
while True:
    os.waitpid(os.posix_spawn("/bin/true", ["clock", str(time.time_ns())], {}), 0)
    time.sleep(0.005)
"""


@pytest.fixture
def clock() -> Iterator[int]:
    """The process that starts others all the time."""
    with Started([sys.executable, "-I", "-S", "-c", CLOCK]) as running:
        yield running.pid
        running.kill()


def times(path: Path) -> list[int]:
    """What the clock said, as far as the file goes."""
    argvs = [row["args"]["argv"] if "args" in row else row.get("argv") for row in open_recording(path)]
    return [int(argv[1]) for argv in argvs if isinstance(argv, list) and argv[:1] == ["clock"]]


def wait_for(is_so: Callable[[], bool], alive: Callable[[], bool]) -> None:
    """Return when it is so; a program that ended meanwhile is a failure."""
    while not is_so():
        assert alive()
        time.sleep(0.01)


def has_times(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0 and len(times(path)) > 100


def check(path: Path, killed_ns: int, programs: set[int]) -> None:
    """Nothing is loaded, and the file has every start up to at most a second before the kill."""
    assert programs
    for _ in range(100):
        # The kernel frees a program when no CPU can be in it any more: a grace period or two after the kill.
        if not programs & loaded_programs():
            break
    assert not programs & loaded_programs()
    recording = open_recording(path)
    rows = list(recording)
    assert not recording.complete
    # Only the line that was being written may be cut.
    assert recording.damaged <= 1
    assert recording.lost == 0
    assert rows
    found = times(path)
    assert found == sorted(found)
    assert killed_ns - found[-1] < SECOND


@pytest.mark.parametrize("what", [("exec",), ("attach", "tracepoint:syscalls:sys_enter_execve")])
def test_from_the_command_line(tmp_path: Path, clock: int, what: tuple[str, ...]) -> None:
    path = tmp_path / "killed.rec"
    command = [*PROGRAM, *what, "--tree", str(clock), "--save", str(path)]
    with Started(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL) as running:
        wait_for(lambda: has_times(path), lambda: running.poll() is None)
        programs = programs_of(running.pid)
        assert programs <= loaded_programs()
        killed = time.time_ns()
        running.kill()
    check(path, killed, programs)


class Terminal:
    """The program on a pseudo-terminal; what it paints is kept as bytes."""

    def __init__(self, folder: Path) -> None:
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            os.execve(PROGRAM[0], PROGRAM, ENVIRONMENT)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 160, 0, 0))
        self.painted, self._over = b"", False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while not self._over:
            if not select.select([self._terminal], [], [], 0.1)[0]:
                continue
            try:
                chunk = os.read(self._terminal, 1 << 16)
            except OSError:
                return
            if not chunk:
                return
            self.painted += chunk

    def press(self, keys: bytes) -> None:
        """As if somebody typed."""
        os.write(self._terminal, keys)

    def alive(self) -> bool:
        return self._reader.is_alive()

    def kill(self) -> None:
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        self.hang_up()

    def hang_up(self) -> None:
        """Close the window."""
        self._over = True
        self._reader.join()
        os.close(self._terminal)

    def ended(self) -> bool:
        """Whether it is gone, a minute after the window at the latest."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if os.waitpid(self.pid, os.WNOHANG)[0]:
                return True
            time.sleep(0.05)
        os.kill(self.pid, 9)
        os.waitpid(self.pid, 0)
        return False


F8 = b"\x1b[19~"


@contextmanager
def recording_screen(folder: Path) -> Iterator[tuple[Terminal, Path, set[int]]]:
    """The program that records what its process monitor tells, the file, and the kernel's numbers of what it loaded."""
    terminal = Terminal(folder)
    try:
        wait_for(lambda: b"Processes" in terminal.painted, terminal.alive)
        terminal.press(F8)
        wait_for(lambda: "● run".encode() in terminal.painted, terminal.alive)
        terminal.press(b"w")
        wait_for(lambda: bool(list(folder.glob("*.rec"))), terminal.alive)
        (path,) = folder.glob("*.rec")
        wait_for(lambda: has_times(path), terminal.alive)
        programs = programs_of(terminal.pid)
        assert programs <= loaded_programs()
        yield terminal, path, programs
    finally:
        if terminal.alive():
            terminal.kill()


@pytest.mark.usefixtures("clock")
def test_from_the_screen(tmp_path: Path) -> None:
    with recording_screen(tmp_path) as (terminal, path, programs):
        killed = time.time_ns()
        terminal.kill()
    check(path, killed, programs)


@pytest.mark.usefixtures("clock")
def test_a_closed_window_ends_the_program_and_the_recording(tmp_path: Path) -> None:
    with recording_screen(tmp_path) as (terminal, path, programs):
        terminal.hang_up()
        assert terminal.ended()
    assert not programs & loaded_programs()
    recording = open_recording(path)
    assert list(recording)
    assert recording.complete

"""A command that is started and held back before exec, so that everything can be attached before it runs."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Sequence
from typing import NoReturn

from tracescope.errors import Refused

__all__ = ("Launched", "find_program", "launch")

_NO_EXEC = 127


def find_program(name: str, path: str) -> str:
    """The program that a shell would run for `name`; raises Refused."""
    if "/" in name:
        return name
    for folder in path.split(os.pathsep):
        candidate = os.path.join(folder or ".", name)
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise Refused(f"{name} cannot be started", "no program of this name is on PATH", "give its path")


class Launched:
    """A child that waits to become the command; its process id is `pid`."""

    def __init__(self, pid: int, name: str, go: int, failure: int) -> None:
        self.pid = pid
        self._name = name
        self._go = go
        self._failure = failure
        self._status: int | None = None

    def release(self) -> None:
        """Let it run; raises Refused when the program cannot be executed."""
        os.write(self._go, b"\1")
        os.close(self._go)
        self._go = -1
        with open(self._failure, "rb") as pipe:
            answer = pipe.read()
        self._failure = -1
        if answer:
            self.wait()
            code = int(answer)
            raise Refused(f"{self._name} cannot be started", os.strerror(code), _fix(code))

    def poll(self) -> int | None:
        """The exit status when it has ended: negative is a signal's number."""
        return self._reap(os.WNOHANG)

    def wait(self) -> int:
        """Wait for its end; the exit status, negative is a signal's number."""
        status = self._reap(0)
        return _NO_EXEC if status is None else status

    def _reap(self, options: int) -> int | None:
        if self._status is None:
            pid, status = os.waitpid(self.pid, options)
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status

    def abandon(self) -> None:
        """End the child if it still waits."""
        if self._go >= 0:
            os.close(self._go)
            os.close(self._failure)
            self._go = self._failure = -1
            self.wait()


def _fix(code: int) -> str:
    if code == errno.ENOEXEC:
        return "name its interpreter, for instance: sh SCRIPT"
    return "chmod +x" if code == errno.EACCES else ""


def launch(command: Sequence[str]) -> Launched:
    """Fork a child that will execute `command` when released; call it before any thread is started. Raises Refused."""
    # Found here and not by execvp(), which would try, and show as failed execs, every folder before the right one.
    program = find_program(command[0], os.environ.get("PATH", os.defpath))
    wait_end, go = os.pipe()
    failure, report_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go)
        os.close(failure)
        _become(program, list(command), wait_end, report_end)
    os.close(wait_end)
    os.close(report_end)
    return Launched(pid, command[0], go, failure)


def _become(program: str, command: list[str], wait_end: int, report_end: int) -> NoReturn:
    """In the child: wait for the word, then exec. Nothing of the parent's Python may run on from here."""
    try:
        if os.read(wait_end, 1):
            for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execv(program, command)
    except OSError as error:
        os.write(report_end, str(error.errno).encode())
    finally:
        os._exit(_NO_EXEC)

"""Exported tracers, built and run beside TraceScope's own session on one workload."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tracescope
from tracescope.cli.main import main

SHIM = Path(tracescope.__file__).parent / "attach" / "shim"
READY = "tracing; Ctrl-C ends it"
SECONDS = 60
_VALUE = re.compile(r' ([^\s=]+)=("(?:[^"\\]|\\.)*"|\S*)')
_ESCAPE = re.compile(rb"\\(x([0-9a-f]{2})|.)", re.DOTALL)


def export(folder: Path, form: str, words: list[str]) -> Path:
    """The folder that the files are written to."""
    target = folder / form
    assert main(["export", *words, "--as", form, "-o", str(target)]) == 0
    return target


def export_script(folder: Path, words: list[str]) -> Path | None:
    """The script, unless the installed bpftrace cannot do what it takes."""
    if main(["export", *words, "--as", "bpftrace", "-o", str(folder / "bpftrace")]):
        assert main(["export", *words, "--as", "bpftrace", "--target", "0.23", "-o", str(folder / "bpftrace")]) == 0
        return None
    (script,) = (folder / "bpftrace").iterdir()
    return script


def build(folder: Path, vmlinux: Path) -> Path:
    """The program that make builds, without a word from the compilers."""
    (folder / "vmlinux.h").symlink_to(vmlinux)
    made = subprocess.run(["make", "-s", "-C", str(folder)], capture_output=True, text=True, timeout=120)
    assert made.returncode == 0, made.stderr
    assert "warning" not in made.stdout + made.stderr, made.stderr
    (source,) = folder.glob("*.bpf.c")
    return folder / source.name.removesuffix(".bpf.c")


def python_with_bcc() -> str | None:
    """The distribution's Python, where it has BCC."""
    python = shutil.which("python3", path="/usr/bin")
    if python and subprocess.run([python, "-I", "-c", "import bcc"], capture_output=True).returncode == 0:
        return python
    return None


class Running:
    """A tracer that has attached everything."""

    def __init__(self, command: list[str], seconds: float) -> None:
        self._seconds = seconds
        environment = {**os.environ, "BCC_KERNEL_SOURCE": str(SHIM)}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True, errors="replace"
        )
        self.errors = ""
        end = time.monotonic() + seconds
        assert self._process.stderr is not None
        while READY not in self.errors:
            assert time.monotonic() < end, self.errors
            if select.select([self._process.stderr], [], [], 1)[0]:
                line = self._process.stderr.readline()
                assert line, f"{command} ended: {self.errors}"
                self.errors += line

    def stop(self) -> str:
        """What it printed."""
        self._process.send_signal(signal.SIGINT)
        out, errors = self._process.communicate(timeout=self._seconds)
        self.errors += errors
        assert self._process.returncode == 0, self.errors
        return out

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate(timeout=self._seconds)


@contextmanager
def running(*commands: list[str], seconds: float = SECONDS) -> Iterator[list[Running]]:
    tracers: list[Running] = []
    try:
        for command in commands:
            tracers.append(Running(command, seconds))  # noqa: PERF401 - those that run are ended when the next one fails
        yield tracers
    finally:
        for tracer in tracers:
            tracer.kill()


def unquoted(text: str) -> str:
    """What stands in quotes."""
    data = text[1:-1].encode("ascii")
    return _ESCAPE.sub(lambda m: bytes([int(m[2], 16)]) if m[2] else m[1], data).decode("utf-8", "surrogateescape")


def values(line: str) -> dict[str, str]:
    """The values of an event's line."""
    return dict(_VALUE.findall(line))


def lines_of(out: str, kind: str) -> list[str]:
    """The lines with events, without their time and process."""
    return [line[line.index(f" {kind}:") :] for line in out.splitlines() if f" {kind}:" in line]


def workload(folder: Path, name: str, source: str) -> list[str]:
    """A Python program whose threads have this name."""
    program, script = folder / name, folder / "work.py"
    program.symlink_to(os.path.realpath(sys.executable))
    script.write_text(source)
    return [str(program), "-I", "-S", str(script)]

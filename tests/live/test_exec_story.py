"""The founding story: the CPU is busy and `top` shows nobody. `tracescope exec` says who, and whose fault it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from monitored import build
from started import Started

from tracescope.processes import Loop, ProcessTable, Summary, summarize
from tracescope.processes.reading import events_from_json
from tracescope.recording import open_recording

Require = Callable[[bool, str], None]
MAIN = (sys.executable, "-c", "import sys; from tracescope.cli.main import main; sys.exit(main())", "exec")
SECONDS = 5
TICKS = os.sysconf("SC_CLK_TCK")
CPUS = os.cpu_count() or 1


@contextmanager
def running(*command: str) -> Iterator[int]:
    with Started(command) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def childrens_cpu(pid: int) -> float:
    """Seconds of CPU of those children that it has waited for, as the kernel accounts them (proc_pid_stat(5))."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[13]) + int(words[14])) / TICKS


def loop_of(summary: Summary, program: str) -> Loop:
    (found,) = [loop for loop in summary.loops if loop.program == program]
    return found


def test_within_five_seconds_the_burner_the_failing_service_and_who_starts_them_are_named(
    tmp_path: Path, require: Require
) -> None:
    app, burner = build(tmp_path, "app"), build(tmp_path, "burner")
    require(app is not None and burner is not None, "no C compiler")
    service = str(shutil.copy("/bin/false", tmp_path / "service"))
    supervisor = str(shutil.copy(str(app), tmp_path / "supervisor"))
    file = tmp_path / "story.rec"
    with ExitStack() as undo:
        first = undo.enter_context(running(str(app), str(burner), "0"))
        second = undo.enter_context(running(supervisor, service, "50"))
        command = [*MAIN, "--duration", str(SECONDS), "--save", str(file), "--tree", str(first), "--tree", str(second)]
        monitor = undo.enter_context(Started(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        assert monitor.stderr is not None
        assert "attached" in monitor.stderr.readline()
        cpu, began = childrens_cpu(first), time.monotonic()
        sentence = monitor.stderr.read()
        share = (childrens_cpu(first) - cpu) / (time.monotonic() - began) / CPUS
        assert monitor.wait() == 0
    # In words: both, their parents, and what it is.
    burning, failing = sentence.partition("\n")[0].split("; ")
    assert f"`{burner}`, " in burning
    assert f"all spawned by `{app}` (pid {first})" in burning
    assert burning.endswith("100 % exit 0: started in a loop")
    assert f"`{service}`, " in failing
    assert f"all spawned by `{supervisor}` (pid {second})" in failing
    assert failing.endswith("100 % exit 1: restart loop")
    # In numbers, from the recording: within five points of the kernel's own account.
    events, bad = events_from_json(open_recording(file))
    assert bad == 0
    table = ProcessTable(ncpus=CPUS)
    for pid, path in ((first, app), (second, supervisor)):
        table.known(pid, None, Path(str(path)).name, str(path), os.getpid())
    for event in events:
        table.add(event)
    summary = summarize(table)
    loop = loop_of(summary, str(burner))
    assert loop.cpu_share == pytest.approx(share, abs=0.05)
    assert loop.starts > 50
    assert (loop.parent_share, loop.direct, loop.failing, loop.share) == (1, True, False, 1)
    loop = loop_of(summary, service)
    assert loop.starts > 10
    assert (loop.parent_share, loop.direct, loop.failing, loop.exit_words) == (1, True, True, "exit 1")
    assert f"{round(100 * loop_of(summary, str(burner)).cpu_share)} % of CPU" in burning

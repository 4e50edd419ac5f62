"""`tracescope exec` and its filters on this kernel, and the storm that it must get through."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attached import loaded_programs, programs_of
from monitored import TRUE, build, watch, watch_python
from started import Started

from tracescope.attach.ask.cgroups import find_cgroup
from tracescope.host import LiveHost
from tracescope.processes import ExecEvent, ExitEvent, ForkEvent, ProcessTable
from tracescope.recording import open_recording

Require = Callable[[bool, str], None]
MAIN = [sys.executable, "-c", "import sys; from tracescope.cli.main import main; sys.exit(main())", "exec"]
LOOPS, STARTS = 2, 10_000


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*MAIN, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def rows(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


# Filters


def test_filters_by_pid_user_and_name() -> None:
    source = """
import os
if os.fork() == 0:
    os.execv("/bin/sh", ["sh", "-c", "exit 0"])
os.wait()
if os.fork() == 0:
    os.setuid(65534)
    os.execv("/bin/true", ["true"])
os.wait()
"""
    seen = watch_python(source, uid=(65534,))
    assert [(event.name, event.comm) for event in seen.events] == [("exec", "true"), ("exit", "true")]
    seen = watch_python(source, comm=("sh", "no such name"))
    assert [(event.name, event.comm) for event in seen.events] == [("exec", "sh"), ("exit", "sh")]
    seen = watch_python(source, pid=(os.getpid(),))
    assert seen.events == []
    assert seen.counts.events == 0


def test_a_process_that_was_wanted_when_it_started_has_its_end_whatever_it_became() -> None:
    source = "import os; os.setuid(65534)"
    seen = watch_python(source, uid=(0,))
    assert [(event.name, event.uid) for event in seen.events] == [("exec", 0), ("exit", 65534)]


@pytest.fixture
def cgroup(require: Require) -> Iterator[Path]:
    """A control group of our own, with one below it."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    found = [Path(words[1]) for words in mounts if words[2] == "cgroup2"]
    require(bool(found), "no unified cgroup hierarchy is mounted")
    path = found[0] / f"tracescope-test-{os.getpid()}"
    try:
        (path / "below").mkdir(parents=True)
    except OSError as error:
        require(False, f"no control group can be made: {error}")
    yield path
    (path / "below").rmdir()
    path.rmdir()


def test_a_cgroup_is_filtered_with_all_that_is_below_it(cgroup: Path) -> None:
    source = """
import os, sys
for folder in (None, sys.argv[1], sys.argv[1] + "/below"):
    if os.fork() == 0:
        if folder:
            with open(folder + "/cgroup.procs", "w") as file:
                file.write(str(os.getpid()))
        os.execv("/bin/true", [str(folder)])
    os.wait()
"""
    group = find_cgroup(LiveHost(), str(cgroup))
    assert find_cgroup(LiveHost(), cgroup.name) == group
    seen = watch_python(source, str(cgroup), cgroup=(group,))
    found = seen.of(ExecEvent)
    assert [event.argv for event in found] == [(str(cgroup),), (f"{cgroup}/below",)]
    assert [event.cgroup_id for event in found] == [cgroup.stat().st_ino, (cgroup / "below").stat().st_ino]
    assert len(seen.of(ExitEvent)) == 2
    seen = watch_python(source, str(cgroup), cgroup=(find_cgroup(LiveHost(), f"{cgroup}/below"),))
    assert [event.argv for event in seen.of(ExecEvent)] == [(f"{cgroup}/below",)]


# The command


def test_the_command_and_its_descendants_are_followed_and_nobody_else() -> None:
    with Started([sys.executable, "-c", "import os\nwhile True: os.system('/bin/true stranger')"]) as stranger:
        try:
            done = run("--json", "--", "sh", "-c", "/bin/true one; (/bin/true two; /no/such) 2>/dev/null; exit 3")
        finally:
            stranger.kill()
    assert done.returncode == 0
    found = rows(done.stdout)
    execs = [row for row in found if row["event"] == "exec"]
    assert [row["argv"][:2] for row in execs] == [["sh", "-c"], [TRUE, "one"], [TRUE, "two"]]
    assert [row["errno"] for row in found if row["event"] == "exec_failed"] == ["ENOENT"]
    assert [row["exit_code"] for row in found if row["event"] == "exit"][-1] == 3
    assert done.stderr.splitlines()[-1] == f"{len(found)} events, 0 lost"
    assert "fork" not in {row["event"] for row in found}


def test_text_has_no_control_characters_and_the_tree_shows_who_started_whom() -> None:
    done = run("--", "sh", "-c", "/bin/true '\x1b[31mred'; exit 0")
    assert "\x1b" not in done.stdout
    assert "\\x1b[31mred" in done.stdout
    assert len(done.stdout.splitlines()) == 4
    done = run("--format", "tree", "--", "sh", "-c", "(/bin/true deep; exit 1); /bin/true; exit 2")
    lines = [re.sub(r"\d+ (?=[(/s])|, \d[^,]*s\b.*", "", line) for line in done.stdout.splitlines()]
    assert lines == [
        "sh -c '(/bin/true deep; exit 1); /bin/true; exit 2', exit 2",
        "├─ (/usr/bin/sh), exit 1" if "/usr/bin/sh" in done.stdout else "├─ (/bin/sh), exit 1",
        "│  └─ /bin/true deep, exit 0",
        "└─ /bin/true, exit 0",
    ]


def test_limits_by_number_and_by_time(tmp_path: Path) -> None:
    script = "while :; do /bin/true; done"
    with Started(["sh", "-c", script]) as endless:
        try:
            counted = run("--json", "--count", "5", "--tree", str(endless.pid))
            timed = run("--json", "--duration", "1", "--tree", str(endless.pid))
        finally:
            endless.kill()
    assert len(rows(counted.stdout)) == 5
    assert counted.stderr.splitlines()[-1].startswith("5 events, ")
    assert timed.returncode == 0
    assert rows(timed.stdout)


def test_what_is_refused_names_a_reason(tmp_path: Path) -> None:
    done = run("--pid", "1", "--", "true")
    assert done.returncode == 2
    done = run("--cgroup", "/no/such/group", "--duration", "0")
    assert done.returncode == 1
    assert "why: " in done.stderr
    done = run("--save", str(tmp_path), "--", "true")
    assert done.returncode == 1
    done = run("--", "/no/such/program")
    assert done.returncode == 1
    assert "cannot be started" in done.stderr


def test_the_program_can_be_read_without_being_attached() -> None:
    before = loaded_programs()
    done = run("--print-program", "--tree", str(os.getpid()), "--comm", "x")
    assert done.returncode == 0
    assert "int raw_exec(u64 *ctx)" in done.stdout
    assert loaded_programs() <= before


def test_a_recording_has_every_event_and_replays(tmp_path: Path) -> None:
    file = tmp_path / "made.rec"
    done = run("--json", "--save", str(file), "--", "sh", "-c", "(exit 1); /bin/true x")
    recording = open_recording(file)
    events = list(recording)
    assert [row for row in events if row["event"] != "fork"] == rows(done.stdout)
    assert [row["event"] for row in events].count("fork") == 2
    assert (recording.header.kind, recording.lost, recording.complete) == ("exec", 0, True)


def test_an_interrupt_detaches_and_a_kill_leaves_nothing_loaded_and_a_file_that_replays(tmp_path: Path) -> None:
    file, shown = tmp_path / "killed.rec", tmp_path / "shown"
    source = "import os\nwhile True: os.spawnv(os.P_WAIT, '/bin/true', ['true'])"
    with Started([sys.executable, "-c", source]) as endless:
        command = [*MAIN, "--json", "--tree", str(endless.pid)]
        try:
            with (
                shown.open("w") as output,
                Started([*command, "--save", str(file)], stdout=output) as killed,
            ):
                # The file is flushed twice a second; standard output when its buffer is full.
                while (
                    not file.exists()
                    or file.read_text().count('"counts"') < 2
                    or shown.read_text(errors="replace").count("\n") < 100
                ):
                    assert killed.poll() is None
                    time.sleep(0.01)
                programs = programs_of(killed.pid)
                assert len(programs) == 7
                assert programs <= loaded_programs()
                killed.kill()
            with Started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as interrupted:
                assert interrupted.stdout is not None
                assert interrupted.stdout.readline()
                interrupted.send_signal(signal.SIGINT)
                _, errors = interrupted.communicate()
        finally:
            endless.kill()
    assert not programs & loaded_programs()
    assert interrupted.returncode == 130
    assert errors.splitlines()[-1].endswith(" 0 lost")
    recording = open_recording(file)
    recorded = [row for row in recording if row["event"] != "fork"]
    assert recorded[:99] == rows("\n".join(shown.read_text().splitlines()[:99]))
    assert (recording.complete, recording.damaged, recording.lost) == (False, 0, 0)


# The storm


def test_20000_starts_as_fast_as_this_machine_can_are_all_there(tmp_path: Path, require: Require) -> None:
    storm, nothing = build(tmp_path, "storm"), build(tmp_path, "nothing", "-static", "-nostdlib")
    require(storm is not None and nothing is not None, "no C compiler")
    seen = watch([str(storm), str(LOOPS), str(STARTS), str(nothing)])
    assert seen.status == 0
    total = LOOPS * STARTS
    assert (seen.counts.lost, seen.counts.dropped) == (0, 0)
    found = seen.of(ExecEvent, filename=nothing)
    wanted = {(nothing, str(loop), str(number)) for loop in range(LOOPS) for number in range(STARTS)}
    assert len(found) == total
    assert {event.argv for event in found} == wanted
    ends = {(event.pid, event.start_ns): event for event in seen.of(ExitEvent)}
    assert len(ends) == total + LOOPS + 1
    assert all(ends[event.pid, event.start_ns].exit_code == 0 for event in found)
    # Each was started by its own loop, and each fork is that of an exec or of a loop.
    assert sorted(Counter(event.ppid for event in found).values()) == [STARTS] * LOOPS
    assert len(seen.of(ForkEvent)) == total + LOOPS
    assert seen.counts.events == 3 * total + 2 * LOOPS + 2


def test_the_processes_of_a_storm_add_up(tmp_path: Path, require: Require) -> None:
    storm, nothing = build(tmp_path, "storm"), build(tmp_path, "nothing", "-static", "-nostdlib")
    require(storm is not None and nothing is not None, "no C compiler")
    table = ProcessTable()
    for event in watch([str(storm), "2", "500", str(nothing)]).events:
        table.add(event)
    processes = [process for process in table if process.program == nothing]
    assert len(processes) == 1000
    assert not [process for process in processes if process.alive or process.exit_words != "exit 0"]

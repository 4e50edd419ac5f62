"""The process monitor that is shipped compiled, on this kernel: it tells what the text tells that BCC compiles here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from attached import HOST, START_SECONDS, held_programs
from monitored import TRUE, CompiledOnce, taken, told

from tracescope.attach.ask.namespaces import find_namespace
from tracescope.attach.launch import launch
from tracescope.attach.libbpf.library import missing_library
from tracescope.attach.libbpf.types import library_types
from tracescope.attach.monitor import shipped
from tracescope.attach.monitor.monitor import MonitorSession, plan_monitor
from tracescope.attach.monitor.plan import read_offsets
from tracescope.attach.plan import Cgroup, Filters
from tracescope.errors import Missing
from tracescope.processes import ExecEvent, ExecFailed, ProcessEvent
from tracescope.sources import btf

ROOT = Path(__file__).parents[2]
NOBODY = 65534
COMPILERS = """
from tracescope.attach.bcc import find_bcc
from tracescope.attach.libbpf.compile import find_clang
print(find_bcc(), find_clang())
"""
WORK = f"""
import os, sys
renamed, script = sys.argv[1:]
def run(path, *argv, uid=0, failing=()):
    child = os.fork()
    if child == 0:
        if uid:
            os.setuid(uid)
        for name in (*failing, path):
            try:
                os.execv(name, argv)
            except OSError:
                pass
        os._exit(3)
    os.waitpid(child, 0)
run({TRUE!r}, "true", "", "a b")
run({TRUE!r}, "true", "x" * 5000)
run({TRUE!r}, "nobody", uid={NOBODY}, failing=["/no/such/program"])
run(renamed, "renamed")
run(script, "script", failing=["/etc/passwd"])
run("/no/such/program", "x")
"""


@pytest.fixture(scope="module", autouse=True)
def library(require) -> None:
    refused = missing_library()
    require(refused is None, str(refused))


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("shipped")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)
    renamed, script = folder / "renamed", folder / "script"
    shutil.copy(TRUE, renamed)
    script.write_text(f"#!{TRUE} -x\n")
    script.chmod(0o755)
    return [str(renamed), str(script)]


def watched(
    programs: list[str], filters: Callable[[int], Filters], *, compiled: bool, **modes: bool
) -> list[ProcessEvent]:
    child = launch([sys.executable, "-I", "-S", "-c", WORK, *programs])
    try:
        plan = plan_monitor(HOST, filters(child.pid), **modes)
        session = MonitorSession(plan, backend=CompiledOnce() if compiled else None, buffer=1_000_000)
        with session:
            session.wait_running(START_SECONDS)
            assert session.shipped is not compiled
            child.release()
            child.wait()
            session.stop()
            assert session.counts().lost == 0
            return taken(session)
    finally:
        child.abandon()


def root_cgroup() -> Cgroup:
    """The root of the unified hierarchy, which holds every process."""
    folders = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines() if " cgroup2 " in line]
    return Cgroup(os.stat(folders[0]).st_ino, 0) if folders else Cgroup(1, 0)


FILTERS = {
    "tree": lambda pid: Filters(tree=(pid,)),
    "uid": lambda pid: Filters(tree=(pid,), uid=(NOBODY, 12345)),
    "comm": lambda pid: Filters(tree=(pid,), comm=("renamed", "script")),
    "pid": lambda pid: Filters(pid=(pid, 2**22)),
    "tid": lambda pid: Filters(tid=(pid,)),
    "but not": lambda pid: Filters(tree=(pid,), but_not=(pid,)),
    "namespace": lambda pid: Filters(tree=(pid,), namespace=(find_namespace(HOST, pid),)),
    "other namespace": lambda pid: Filters(tree=(pid,), namespace=(find_namespace(HOST, pid)._replace(number=1),)),
    "cgroup": lambda pid: Filters(tree=(pid,), cgroup=(Cgroup(1 << 40, 1), root_cgroup())),
    "other cgroup": lambda pid: Filters(tree=(pid,), cgroup=(Cgroup(1 << 40, 0),)),
}
NOTHING = ("other namespace", "other cgroup")


@pytest.mark.parametrize("name", FILTERS)
def test_with_every_filter_it_tells_what_bcc_does(programs: list[str], name: str):
    found = watched(programs, FILTERS[name], compiled=False)
    assert told(found) == told(watched(programs, FILTERS[name], compiled=True))
    assert bool(found) is (name not in NOTHING)


@pytest.mark.parametrize("modes", [{}, {"strict": True}, {"failed_only": True}, {"strict": True, "failed_only": True}])
def test_in_every_mode_it_tells_what_bcc_does(programs: list[str], modes: dict[str, bool]):
    found = watched(programs, FILTERS["tree"], compiled=False, **modes)
    assert told(found) == told(watched(programs, FILTERS["tree"], compiled=True, **modes))
    failed = [event for event in found if isinstance(event, ExecFailed)]
    assert [(event.filename, event.ret) for event in failed] == [
        ("/no/such/program", -2), ("/etc/passwd", -13), ("/no/such/program", -2),
    ]  # fmt: skip
    started = [event.argv for event in found if isinstance(event, ExecEvent)]
    assert bool(started) is not modes.get("failed_only", False)


def test_what_it_held_is_let_go(programs: list[str]):
    before = held_programs()
    watched(programs, FILTERS["tree"], compiled=False)
    assert held_programs() == before


def test_programs_that_nothing_hangs_on_are_not_loaded():
    with shipped.load(plan_monitor(HOST, failed_only=True)) as loaded:
        assert loaded.refused == {}
        assert set(loaded.programs) == {"sys_enter_execve", "sys_enter_execveat", "sys_exit"}


def test_the_offsets_that_libbpf_finds_are_those_of_the_types():
    with library_types() as types:
        assert read_offsets(types) == read_offsets(btf.read(HOST))
        with pytest.raises(Missing, match="task_struct has no member nothing"):
            types.member_offset("task_struct", "nothing")
        with pytest.raises(Missing, match="there is no type nothing"):
            types.layout("nothing")


def test_where_nothing_can_be_compiled_the_command_runs_it(require, tmp_path: Path):
    require(shutil.which("unshare") is not None, "no unshare")
    empty, home = tmp_path / "empty", tmp_path / "home"
    empty.mkdir()
    home.mkdir(mode=0o700)
    # In a mount namespace of its own: the distribution's Python packages, BCC among them, are not there.
    hide = 'for folder in /usr/lib/python3*/dist-packages; do mount --bind "$0" "$folder"; done; exec "$@"'
    environment = {"PATH": str(empty), "HOME": str(home), "PYTHONPATH": str(ROOT)}
    unshare = [
        "env",
        "unshare",
        "-m",
        "sh",
        "-c",
        f"PATH=/usr/sbin:/usr/bin:/sbin:/bin; {hide}",
        str(empty),
        "env",
        "-i",
    ]
    unshare += [f"{name}={value}" for name, value in environment.items()]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        whole = [*unshare, sys.executable, *arguments]
        return subprocess.run(whole, capture_output=True, text=True, timeout=120, check=False)

    found = run("-c", COMPILERS)
    assert found.stdout.split() == ["None", "None"], found.stderr
    done = run("-m", "tracescope", "exec", "--json", "--", TRUE, "a b")
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert ["exec", [TRUE, "a b"]] in [[event["event"], event.get("argv")] for event in events]
    assert done.stderr.splitlines()[-1].endswith(" 0 lost")

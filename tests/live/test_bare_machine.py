"""A machine with no BCC, bpftrace, clang or libbpf: they are covered in a mount namespace of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path

import pytest

from tracescope.attach.bcc import find_bcc
from tracescope.attach.libbpf.library import missing_library

HIDE = r"""
set -e
mount --make-rprivate /
for path in $FOLDERS; do mount -t tmpfs none "$path"; done
for path in $FILES; do mount --bind /dev/null "$path"; done
exec "$@"
"""
TUI = r"""
import asyncio, subprocess, sys
from functools import partial
from tracescope.host import LiveHost
from tracescope.ui.app import TraceScope, _open_session, _read_all

async def main():
    app = TraceScope(LiveHost(), read=_read_all, open_session=partial(_open_session, backend="auto"))
    async with app.run_test(size=(140, 40)) as pilot:
        await pilot.press("f5")
        shown = None
        for _ in range(600):
            await pilot.pause(0.05)
            subprocess.run(["/bin/true"])
            if app.feed.totals().events:
                kept = app.feed.records(range(app.feed.first, app.feed.end))
                names = [session.decode(record).args for session, record in kept]
                if any(args.get("filename") == "/bin/true" for args in names):
                    shown = True
                    break
        await pilot.pause(0.3)
        print("shown", shown, "on tracefs" in str(app.screen.query_one("#session-words").render()))
        app.feed.stop()
        app.exit(0)

asyncio.run(main())
"""


MONITOR = (
    TUI.partition("        await pilot.press")[0]
    + """
        await pilot.press("f8")
        for _ in range(600):
            await pilot.pause(0.05)
            subprocess.run(["/bin/true"])
            session = app.monitor._session
            if any(process.comm == "true" for process in app.monitor.table):
                break
        assert session is not None, app.monitor.error
        print("shown", session.shipped, session.backend)
        app.exit(0)

asyncio.run(main())
"""
)


@pytest.fixture
def bare(require, tmp_path):
    return covered(require, tmp_path, library=False)


@pytest.fixture
def with_library(require, tmp_path):
    """No compiler, but libbpf's library."""
    refused = missing_library()
    require(refused is None, str(refused))
    return covered(require, tmp_path, library=True)


def covered(require, tmp_path, *, library):
    require(shutil.which("unshare") is not None, "no unshare(1)")
    tried = subprocess.run(["unshare", "-m", "true"], check=False)
    require(tried.returncode == 0, "no mount namespaces")
    spec = find_bcc()
    folders = [str(Path(spec.origin).parent)] if spec else []
    tools = {shutil.which(name) for name in ("bpftrace", "clang", "llc", "gcc", "cc")} - {None}
    libraries = [] if library else glob("/usr/lib/*/libbpf.so.*")
    libraries += glob("/usr/lib/*/libbcc.so.*") + glob("/usr/bin/clang-*")
    files = {os.path.realpath(path) for path in (*tools, *libraries)}
    environment = {
        **os.environ,
        "FOLDERS": " ".join(folders),
        "FILES": " ".join(sorted(files)),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        whole = ["unshare", "-m", "sh", "-c", HIDE, "sh", *command]
        return subprocess.run(
            whole, env=environment, capture_output=True, text=True, errors="surrogateescape", check=False, timeout=120
        )

    return run


def _tracescope(*words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tracescope", *words)


def test_attach_shows_execve_through_tracefs(bare):
    command = ("--", "sh", "-c", "/bin/true one; /nonexistent/x")
    probes = ("tracepoint:syscalls:sys_enter_execve", "tracepoint:syscalls:sys_exit_execve")
    done = bare(*_tracescope("attach", *probes, "--json", *command))
    events = [json.loads(line) for line in done.stdout.splitlines()]

    files = [event["args"].get("filename") for event in events if event["probe"].endswith("sys_enter_execve")]
    assert files[1:] == ["/bin/true", None]
    assert [event.get("errno") for event in events if "ret" in event][-1] == "ENOENT"
    assert "bcc: Python module missing" in done.stderr
    assert "chosen: tracefs" in done.stderr


def test_the_doctor_says_what_is_missing_and_what_is_taken(bare):
    done = bare(*_tracescope("doctor", "--json"))
    checks = {check["name"]: check for check in map(json.loads, done.stdout.splitlines())}

    assert checks["bcc"]["why"] == "Python module missing"
    assert checks["bpftrace-backend"]["health"] == "limited"
    assert checks["backend"]["what"].endswith("chosen: tracefs")


@pytest.mark.parametrize("name", ["bcc", "bpftrace"])
def test_a_backend_that_is_missing_is_refused_by_name(bare, name):
    done = bare(*_tracescope("attach", "tracepoint:sched:sched_switch", "--backend", name))

    assert done.returncode == 1
    assert f"{name} cannot be used here" in done.stderr
    assert "fix: apt-get install" in done.stderr


def test_the_one_key_shows_execve(bare, tmp_path):
    script = tmp_path / "tui.py"
    script.write_text(TUI)
    done = bare(sys.executable, str(script))

    assert done.stdout.strip().endswith("shown True True"), done.stderr


def test_without_libbpf_the_process_monitor_says_what_works(bare):
    done = bare(*_tracescope("exec", "--", "/bin/true"))

    assert done.returncode == 1
    assert "the process monitor cannot run here" in done.stderr
    assert "bcc: Python module missing; libbpf: libbpf.so.1 is not installed" in done.stderr
    assert "apt-get install libbpf1" in done.stderr
    assert "until then tracescope attach 'tracepoint:syscalls:sys_*_execve*' shows the calls" in done.stderr


@pytest.mark.parametrize("options", [(), ("--backend", "libbpf")])
def test_with_libbpfs_library_alone_the_process_monitor_runs(with_library, options):
    done = with_library(*_tracescope("exec", "--json", *options, "--", "/bin/true", "a b"))
    events = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.returncode == 0, done.stderr
    assert [event["argv"] for event in events if event["event"] == "exec"] == [["/bin/true", "a b"]]


def test_with_libbpfs_library_alone_attach_goes_to_tracefs_and_the_doctor_says_so(with_library):
    done = with_library(*_tracescope("attach", "tracepoint:sched:sched_process_exec", "--json", "--", "/bin/true"))
    assert [json.loads(line)["args"]["filename"] for line in done.stdout.splitlines()] == ["/bin/true"]
    assert "libbpf: clang is not installed" in done.stderr
    assert "chosen: tracefs" in done.stderr

    said = with_library(*_tracescope("doctor", "--json")).stdout
    checks = {check["name"]: check for check in map(json.loads, said.splitlines())}
    assert checks["libbpf"]["why"].endswith("the process monitor runs all the same: it is in the package, compiled")


def test_with_libbpfs_library_alone_the_monitors_key_works(with_library, tmp_path):
    script = tmp_path / "tui.py"
    script.write_text(MONITOR)
    done = with_library(sys.executable, str(script))

    assert done.stdout.strip().endswith("shown True libbpf"), done.stderr

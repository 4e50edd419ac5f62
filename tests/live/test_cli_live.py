"""The command line here: against tracefs, kallsyms and bpftrace; without rights; with parts of the host hidden."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tracescope

TRACING = "/sys/kernel/tracing"
MAIN = "import sys; from tracescope.cli.main import main; sys.exit(main())"
Done = subprocess.CompletedProcess[str]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(*words: str, before: tuple[str, ...] = (), python: str = sys.executable) -> Done:
    """A command in a process of its own, behind the words of `before`."""
    command = [*before, python, "-c", MAIN, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def objects(done: Done) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def blocks(text: str) -> dict[str, list[str]]:
    """Probe → argument lines of a `-lv` listing, without spaces."""
    found = re.findall(r"^(\S+)\n((?: .*\n)*)", text, re.MULTILINE)
    return {head: [re.sub(r"\s", "", line).rstrip(";") for line in body.splitlines()] for head, body in found}


def test_list_names_exactly_the_available_events() -> None:
    done = run("list", "tracepoint:*")
    events = Path(TRACING, "available_events").read_text().split()
    assert done.returncode == 0
    assert sorted(done.stdout.splitlines()) == sorted(f"tracepoint:{event}" for event in events)
    assert done.stderr == ""


def test_list_v_agrees_with_bpftrace_for_every_event(require) -> None:
    require(shutil.which("bpftrace") is not None, "bpftrace is not installed")
    theirs = blocks(
        subprocess.run(["bpftrace", "-lv", "tracepoint:*"], capture_output=True, text=True, check=True).stdout
    )
    ours = blocks(run("list", "-v", "tracepoint:*").stdout)
    # bpftrace before 0.12 took the formats of the ftrace group for tracepoints.
    assert ours == {probe: fields for probe, fields in theirs.items() if not probe.startswith("tracepoint:ftrace:")}
    assert len(ours) > 500


def test_list_shows_formats_of_the_ftrace_group_as_what_they_are() -> None:
    rows = objects(run("list", "--json", "format:*"))
    assert {row["name"] for row in rows} == {path.parent.name for path in Path(TRACING).glob("events/ftrace/*/format")}
    assert {(row["kind"], row["group"], row["verdict"], *row["reasons"]) for row in rows} == {
        ("format", "ftrace", "no", "ftrace-group")
    }


def test_symbols_json_is_kallsyms_with_a_class_for_every_row() -> None:
    rows = objects(run("symbols", "--json"))
    lines = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
    # Rows of BPF programs come and go while others trace.
    theirs = [words for words in lines if words[3:] != ["[bpf]"]]
    ours = [row for row in rows if row["module"] != "bpf"]
    assert [(r["address"], r["type"], r["name"], r["module"]) for r in ours] == [
        (f"0x{words[0]}", words[1], words[2], words[3][1:-1] if words[3:] else "") for words in theirs
    ]
    assert all(row["class"] and row["class"] != "unknown" for row in rows)


def test_doctor_explains_what_does_not_work_here() -> None:
    done = run("doctor", "--json")
    checks = objects(done)
    assert done.returncode == 0
    assert all(check["why"] and check["fix"] for check in checks if check["health"] != "ok")
    kprobes = next(check for check in checks if check["name"] == "kprobes")
    assert (kprobes["health"] == "ok") is Path(TRACING, "kprobe_events").exists()


@pytest.mark.parametrize(
    "words", [["list", "kprobe:vfs_*"], ["show", "kprobe:vfs_read"], ["list", "-a", "fentry:vmlinux:vfs_*"]]
)
def test_no_command_about_functions_fails_here(words: list[str]) -> None:
    done = run(*words)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


# Without rights


@pytest.fixture(scope="module")
def nobody(require) -> Iterator[Callable[..., Done]]:
    """Run a command as the user nobody, from a copy of the package that all may read."""
    require(shutil.which("setpriv") is not None, "setpriv is not installed")
    # Not below pytest's own folder: only root may enter that.
    folder = Path(tempfile.mkdtemp(prefix="tracescope-"))
    try:
        shutil.copytree(
            Path(tracescope.__file__).parent, folder / "tracescope", ignore=shutil.ignore_patterns("__pycache__")
        )
        folder.chmod(0o755)
        before = (
            "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs",
            "env", "-C", "/", "-u", "XDG_CACHE_HOME",
            f"PYTHONPATH={folder}", "PYTHONDONTWRITEBYTECODE=1", "HOME=/nonexistent",
        )  # fmt: skip
        check = "import sys; sys.exit(sys.version_info < (3, 11))"
        candidates = (sys.executable, *(f"/usr/bin/python3{minor}" for minor in ("", ".11", ".12", ".13", ".14")))
        able = [
            python
            for python in candidates
            if subprocess.run([*before, python, "-c", check], capture_output=True, check=False).returncode == 0
        ]
        require(bool(able), "no Python from 3.11 on that the user nobody may start")
        yield lambda *words: run(*words, before=before, python=able[0])
    finally:
        shutil.rmtree(folder)


def test_without_rights_symbols_and_prototypes_are_there(nobody) -> None:
    done = nobody("symbols", "vfs_read")
    assert done.returncode == 0
    assert re.fullmatch(r"[0-9a-f]{16} T vfs_read  text, global\n", done.stdout)
    done = nobody("show", "--json", "kprobe:vfs_read")
    assert done.returncode == 0
    assert objects(done)[0]["prototype"].startswith("ssize_t vfs_read(struct file *")


def test_without_rights_what_needs_root_says_why_and_the_fix(nobody) -> None:
    for words in (["list", "tracepoint:*"], ["attach", "tracepoint:sched:sched_switch", "--duration", "1"]):
        done = nobody(*words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "tracefs" in done.stderr
        assert "  why: " in done.stderr
        assert "  fix: run as root\n" in done.stderr


@pytest.mark.parametrize(
    "words",
    [["list"], ["list", "-v", "kprobe:vfs_*", "-a"], ["list", "--json", "fentry:*"], ["symbols", "--json", "tcp_*"],
     ["choose", "off-cpu"], ["doctor"], ["show", "vfs_read"], ["list", "software:*"]],
    ids=" ".join,
)  # fmt: skip
def test_without_rights_everything_else_works(nobody, words: list[str]) -> None:
    done = nobody(*words)
    assert done.returncode == 0
    assert done.stdout
    assert "Traceback" not in done.stderr


def test_without_rights_doctor_says_that_nothing_can_be_attached(nobody) -> None:
    checks = {check["name"]: check for check in objects(nobody("doctor", "--json"))}
    assert checks["rights"]["health"] == "broken"
    assert "root" in checks["rights"]["fix"]
    assert checks["tracefs"]["fix"] == "run as root"
    assert checks["kallsyms"]["health"] == "ok"
    assert all(check["why"] and check["fix"] for check in checks.values() if check["health"] != "ok")


# With parts of the host hidden, in a mount namespace of its own


@pytest.fixture
def hiding(tmp_path: Path, require) -> Callable[..., tuple[str, ...]]:
    """The words before a command that run it after these shell commands; no other process sees what they mount."""
    require(
        subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0,
        "no mount namespaces",
    )

    def hiding(*commands: str) -> tuple[str, ...]:
        return ("unshare", "-m", "--propagation", "private", "sh", "-ec", " && ".join((*commands, 'exec "$@"')), "sh")

    return hiding


def hide(path: str, tmp_path: Path) -> str:
    (tmp_path / "empty").touch()
    return f"mount --bind {shlex.quote(str(tmp_path / 'empty'))} {path}"


def test_root_mounts_a_tracefs_that_is_not_mounted_and_says_so(hiding) -> None:
    done = run("list", "tracepoint:sched:sched_switch", before=hiding(f"umount {TRACING}"))
    assert (done.returncode, done.stdout) == (0, "tracepoint:sched:sched_switch\n")
    assert done.stderr == f"tracescope: tracefs was not mounted: mounted it at {TRACING}\n"


def test_without_rights_a_tracefs_that_is_not_mounted_is_answered_with_the_command(hiding, nobody, monkeypatch) -> None:
    real = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda command, **options: real([*hiding(f"umount {TRACING}"), *command], **options)
    )
    done = nobody("list", "tracepoint:*")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"fix: sudo mount -t tracefs none {TRACING}\n" in done.stderr


def test_without_kallsyms_tracepoints_are_listed_and_functions_come_from_btf(hiding, tmp_path: Path) -> None:
    before = hiding(hide("/proc/kallsyms", tmp_path))
    done = run("list", "tracepoint:sched:sched_switch", before=before)
    assert (done.returncode, done.stdout, done.stderr) == (0, "tracepoint:sched:sched_switch\n", "")
    done = run("symbols", before=before)
    assert (done.returncode, done.stdout) == (1, "")
    assert "kallsyms" in done.stderr
    assert "why: " in done.stderr
    assert "fix: " in done.stderr
    checks = {check["name"]: check for check in objects(run("doctor", "--json", before=before))}
    assert checks["kallsyms"]["health"] == "limited"
    assert checks["kallsyms"]["why"]
    assert checks["kallsyms"]["fix"]
    assert checks["tracefs"]["health"] == "ok"


def test_without_btf_functions_are_listed_without_arguments(hiding, tmp_path: Path) -> None:
    before = hiding(hide("/sys/kernel/btf/vmlinux", tmp_path))
    done = run("list", "-a", "-v", "kprobe:vfs_read", before=before)
    assert (done.returncode, done.stdout) == (0, "kprobe:vfs_read\n")
    assert re.search(r"^tracescope: btf damaged: .*\(fix: .*\)$", done.stderr, re.MULTILINE)
    [row] = objects(run("show", "--json", "fentry:vmlinux:vfs_read", before=before))
    assert "no-btf" in row["reasons"]
    assert row["prototype"] is None
    checks = {check["name"]: check for check in objects(run("doctor", "--json", before=before))}
    assert checks["btf"]["health"] == "limited"
    assert checks["btf"]["why"]
    assert checks["btf"]["fix"]
    assert checks["kallsyms"]["health"] == "ok"


def test_without_tools_their_sources_are_absent_and_the_rest_works(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = {check["name"]: check for check in objects(run("doctor", "--json"))}
    for tool in ("perf", "bpftrace"):
        assert checks[tool]["health"] == "limited"
        assert "is not installed" in checks[tool]["why"]
        assert "apt-get install" in checks[tool]["fix"]
    assert checks["tracefs"]["health"] == "ok"
    assert run("list", "tracepoint:sched:sched_switch").returncode == 0


def test_a_pipe_that_closes_early_ends_the_listing(require) -> None:
    command = f"{shlex.quote(sys.executable)} -c {shlex.quote(MAIN)} symbols | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, env=os.environ)
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr

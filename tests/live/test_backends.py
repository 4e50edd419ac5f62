"""The same workload through every backend: the same events, but for what a backend cannot know, which is absent."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from attached import HOST, START_SECONDS, format_of, programs_of
from borrowed import by_process, killed, run_under, running
from started import Started

from tracescope.attach.ask.asked import Asked
from tracescope.attach.libbpf import backend as libbpf
from tracescope.attach.plan import Filters
from tracescope.attach.start import start_session
from tracescope.attach.targets.target import tracepoint
from tracescope.attach.tracefs.instance import leftovers
from tracescope.errors import AttachError, Refused

WORKLOAD = r"""
import os, signal
try:
    os.open(b"/nonexistent/\xc3\xa9 \"q\"\n\x1b[31m", os.O_WRONLY | os.O_APPEND)
except OSError:
    pass
signal.setitimer(signal.ITIMER_REAL, 100)
with open("/proc/self/comm", "w") as comm:
    comm.write("a b;%s")
for argv in ([b"/bin/true", b"one", b"tw o\"\\\n", b"\xc3\xa9\xff\x1b"], [b"/nonexistent/x", b"y"]):
    if not (pid := os.fork()):
        try:
            os.execv(argv[0], argv)
        except OSError:
            os._exit(3)
    os.waitpid(pid, 0)
"""
EVENTS = (
    "syscalls:sys_enter_execve",
    "syscalls:sys_exit_execve",
    "syscalls:sys_enter_openat",
    "syscalls:sys_exit_openat",
    "syscalls:sys_enter_setitimer",
    "sched:sched_process_exec",
    "sched:sched_process_fork",
    "sched:sched_process_exit",
    "task:task_rename",
)
CANNOT = {
    "libbpf": set[str](),
    "bpftrace": {"envp", "value"},
    "tracefs": {"envp", "argv", "filename", "value"},
}
BORROWED = ("bpftrace", "tracefs")
LIVE = ("libbpf", *BORROWED)


@pytest.fixture(autouse=True)
def tools(request, require):
    if "bpftrace" in request.node.name:
        require(shutil.which("bpftrace") is not None, "no bpftrace")
    if "libbpf" in request.node.name:
        refused = libbpf.missing()
        require(refused is None, str(refused))


@pytest.fixture(scope="module")
def with_bcc():
    return by_process(*run_under("bcc", WORKLOAD, *EVENTS)[::2])


@pytest.mark.parametrize("backend", LIVE)
def test_the_same_workload_gives_the_same_json_but_for_what_cannot_be_known(backend, with_bcc):
    events, counts, root = run_under(backend, WORKLOAD, *EVENTS)

    assert counts.lost == counts.dropped == 0
    assert counts.events == len(events)
    found = by_process(events, root)
    assert found.keys() == with_bcc.keys()
    for process, wanted in with_bcc.items():
        assert [event["probe"] for event in found[process]] == [event["probe"] for event in wanted]
        for event, other in zip(found[process], wanted, strict=True):
            # A page that is not in memory cannot be read at entry, under any backend: BCC says null, or the address.
            unread = {name for name, value in other["args"].items() if value is None or isinstance(value, dict)}
            missing = other["args"].keys() - event["args"].keys()
            by_chance = {"filename"} if event["probe"].endswith("sys_enter_openat") else set()
            assert missing <= CANNOT.get(backend, set()) | unread | by_chance
            kept, wanted_args = (
                {name: value for name, value in args.items() if name not in missing | unread}
                for args in (event["args"], other["args"])
            )
            assert {**event, "args": kept} == {**other, "args": wanted_args}


@pytest.mark.parametrize("backend", BORROWED)
def test_what_an_execve_runs_is_known(backend):
    events, _, _ = run_under(backend, WORKLOAD, "syscalls:sys_enter_execve")
    calls = [event.args for event in events]

    assert calls[1]["filename"] == "/bin/true"
    if backend == "bpftrace":
        assert calls[1]["argv"] == ["/bin/true", "one", 'tw o"\\\n', "é\udcff\x1b"]
        assert calls[2] == {"filename": "/nonexistent/x", "argv": ["/nonexistent/x", "y"]}
    else:
        assert calls[2] == {}


@pytest.mark.parametrize("backend", BORROWED)
def test_a_switch_names_the_task_that_the_kernel_names(backend):
    events, _, _ = run_under(backend, WORKLOAD, "sched:sched_switch")

    assert events
    for event in events:
        assert (event.tid, event.comm) == (event.args["prev_pid"], event.args["prev_comm"])


@pytest.mark.parametrize("backend", BORROWED)
def test_the_condition_is_met(backend):
    asked = Asked(where='ret == -2 || comm =~ "a b*"')
    everything = run_under(backend, WORKLOAD, "syscalls:sys_exit_openat")[0]
    events, counts, _ = run_under(backend, WORKLOAD, "syscalls:sys_exit_openat", asked=asked)
    wanted = [event for event in everything if event.ret == -2 or event.comm.startswith("a b")]

    assert 0 < len(wanted) < len(everything)
    assert [(event.comm, event.ret) for event in events] == [(event.comm, event.ret) for event in wanted]
    assert counts.events == len(events)


@pytest.mark.parametrize("backend", BORROWED)
@pytest.mark.parametrize("kind", ["pid", "tid", "comm", "tree"])
def test_the_filter_lets_only_its_events_through(backend, kind):
    source = "open('/proc/self/comm', 'w').write('ts wanted'); print(flush=True)\n"
    source += "import time\nfor _ in range(5000): time.sleep(0.002)"
    with (
        Started([sys.executable, "-I", "-S", "-c", source], stdout=subprocess.PIPE) as wanted,
        Started(["sh", "-c", "while :; do sleep 0.01; done"], start_new_session=True) as other,
    ):
        try:
            wanted.stdout.readline()
            values = {"comm": ("ts wanted",)}.get(kind, (wanted.pid,))
            with running(backend, "syscalls:sys_enter_clock_nanosleep", filters=Filters(**{kind: values})) as session:
                found = []
                while len(found) < 20:
                    found += [session.decode(record) for record in session.take()]
                    time.sleep(0.01)
            assert {event.pid for event in found} == {wanted.pid}
            assert {event.ppid for event in found} == {os.getpid()}
            assert {event.comm for event in found} == {"ts wanted"}
        finally:
            wanted.kill()
            os.killpg(other.pid, signal.SIGKILL)


@pytest.mark.parametrize("backend", BORROWED)
def test_what_a_backend_cannot_do_is_refused_with_the_reason(backend):
    with (
        pytest.raises(Refused, match=f"{backend} cannot do this"),
        running(backend, "sched:sched_switch", asked=Asked(show=("pid",))),
    ):
        pass


def test_bpftraces_own_words_are_kept_when_it_fails(monkeypatch, tmp_path):
    tool = tmp_path / "bpftrace"
    tool.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec echo bpftrace v0.17.0\necho "ERROR: no such thing" >&2; exit 1\n'
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    with pytest.raises(AttachError, match="no such thing") as caught, running("bpftrace", "sched:sched_switch"):
        pass
    assert "ERROR: no such thing" in caught.value.log


@pytest.mark.parametrize("backend", BORROWED)
def test_what_happened_right_before_the_end_is_told(backend):
    calls = 20_000
    source = f"import os\nfor _ in range({calls}):\n os.getppid()"
    events, counts, _ = run_under(backend, source, "syscalls:sys_enter_getppid", bare=True)

    assert (len(events), counts.lost) == (calls, 0)


def test_that_bpftrace_was_ended_before_it_had_read_everything_is_said(monkeypatch, tmp_path):
    tool = tmp_path / "bpftrace"
    lines = (
        "#!/bin/sh", '[ "$1" = --version ] && exec echo bpftrace v0.17.0',
        """say() { printf '{"type": "printf", "data": "%s"}\\n' "$1"; }""",
        "trap 'say Z; exit' INT", "say U", "say U", "while :; do :; done",
    )  # fmt: skip
    tool.write_text("\n".join(lines))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("tracescope.attach.borrowed.bpftrace._LAST_WORDS", 0.5)

    with running("bpftrace", "sched:sched_switch") as session:
        session.stop()
    assert session.remarks == [
        "bpftrace was still busy when it was ended: how many of its last events are missing is not known"
    ]


def test_that_bpftrace_took_too_long_is_the_reason(monkeypatch, tmp_path):
    tool = tmp_path / "bpftrace"
    tool.write_text('#!/bin/sh\n[ "$1" = --version ] && exec echo bpftrace v0.17.0\nexec sleep 100\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("tracescope.attach.borrowed.bpftrace._TIMEOUT", 1.0)

    with pytest.raises(AttachError, match="it has not within 1 s"), running("bpftrace", "sched:sched_switch"):
        pass


def test_what_bpftrace_refuses_is_left_out_and_the_rest_runs():
    fork, exec_ = format_of("sched:sched_process_fork"), format_of("sched:sched_process_exec")
    fields = tuple(replace(one, name="nothing") if one.name == "child_comm" else one for one in fork.fields)
    targets = [replace(fork, fields=fields), replace(exec_, name="no_such_event"), exec_]
    session = start_session(HOST, [tracepoint(one) for one in targets], backend="bpftrace")
    with session:
        session.wait_running(START_SECONDS)
        assert [(probe.index, error.why) for probe, error in session.failed] == [
            (1, "tracepoint not found: sched:no_such_event")
        ]
        (remark,) = session.remarks
        assert "sched_process_fork: bpftrace cannot read nothing: " in remark
        child = subprocess.Popen(["/bin/true"])
        child.wait()
        session.stop()
    events = [session.decode(record) for record in session.take()]
    mine = [event for event in events if child.pid in (event.pid, event.args.get("child_pid"))]
    assert [event.probe.rpartition(":")[2] for event in mine] == ["sched_process_fork", "sched_process_exec"]
    assert "nothing" not in mine[0].args


def test_that_children_started_meanwhile_are_missed_is_said():
    with (
        subprocess.Popen(["sh", "-c", "sleep 100 & wait"], start_new_session=True) as shell,
        running("bpftrace", "sched:sched_process_exec", filters=Filters(tree=(os.getppid(),))) as session,
    ):
        os.killpg(shell.pid, signal.SIGKILL)
        assert "children that were started while it attached" in session.remarks[0]


def test_bpftrace_is_gone_with_its_session():
    with running("bpftrace", "sched:sched_process_exec") as session:
        (child,) = Path(f"/proc/self/task/{session._thread.native_id}/children").read_text().split()
        assert programs_of(int(child))
        session.stop()
        assert not os.path.exists(f"/proc/{child}")


# tracefs


def _top_level() -> dict[str, bytes]:
    names = ["tracing_on", "set_event", "current_tracer", "buffer_size_kb", "buffer_total_size_kb", "trace_clock"]
    names += ["set_event_pid", "set_event_notrace_pid", "tracing_cpumask", "trace_options"]
    names += [f"events/{event.replace(':', '/')}/{file}" for event in EVENTS for file in ("enable", "filter")]
    return {name: Path(f"{HOST.tracefs}/{name}").read_bytes() for name in names}


def _instances() -> list[str]:
    return [name for name in HOST.names(f"{HOST.tracefs}/instances") if name.startswith(f"tracescope-{os.getpid()}-")]


def test_the_top_level_instance_is_left_alone():
    before = _top_level()
    with running("tracefs", *EVENTS, filters=Filters(comm=("no such",)), asked=Asked(where="pid > 1")) as session:
        assert _instances()
        assert _top_level() == before
        session.stop()
    assert _top_level() == before
    assert _instances() == []


def test_a_killed_session_leaves_what_the_next_one_removes():
    source = "from borrowed import running\nsession = running('tracefs', 'sched:sched_process_exec')"
    pid, said = killed(source, lambda: leftovers(HOST))
    assert f"tracescope-{pid}-" in said

    with running("tracefs", "sched:sched_process_exec"):
        assert pid not in {leftover.pid for leftover in leftovers(HOST)}


def test_lost_records_are_counted(monkeypatch):
    # Nobody reads while the events come.
    monkeypatch.setattr("tracescope.attach.borrowed.tracefs._PAUSE", 1000)
    source = "import os\nfor _ in range(300_000): os.getppid()"
    child = subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()\n" + source], stdin=subprocess.PIPE)
    with child, running("tracefs", "raw_syscalls:sys_enter", filters=Filters(pid=(child.pid,))) as session:
        child.communicate(b"\n")
        session.stop()
        counts = session.counts()
    assert counts.events > 1000
    assert counts.lost > 1000
    assert counts.events + counts.lost >= 300_000


def test_a_thread_has_its_process_its_name_and_its_parent():
    libc = ctypes.CDLL(None)
    numbers = []

    def work() -> None:
        libc.prctl(15, b"ts thread", 0, 0, 0)
        numbers.append(threading.get_native_id())
        os.sched_yield()

    source = "import time; time.sleep(0)"
    with running("tracefs", "syscalls:sys_enter_sched_yield", filters=Filters(comm=("ts thread",))) as session:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        subprocess.run([sys.executable, "-I", "-S", "-c", source], check=True)
        session.stop()
        (event,) = [session.decode(record) for record in session.take()]
    assert (event.pid, event.tid, event.ppid, event.comm) == (os.getpid(), numbers[0], os.getppid(), "ts thread")

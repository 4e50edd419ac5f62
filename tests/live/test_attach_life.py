"""A session's life on this kernel: what it takes it gives back, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from attached import (
    EXEC,
    HOST,
    START_SECONDS,
    attached,
    decoded,
    format_of,
    held_programs,
    programs_of,
    wait_until_gone,
)

from tracescope.attach.backend import BccBackend, Compiled, load
from tracescope.attach.open import open_plan, open_session
from tracescope.attach.plan import plan
from tracescope.attach.program import program_text
from tracescope.attach.session import Session, SessionState
from tracescope.errors import AttachError, Refused
from tracescope.host import SnapshotHost

GETPPID = "syscalls:sys_enter_getppid"

HOLDER = f"""
import sys
from tracescope.attach.open import open_session
from tracescope.host import LiveHost
from tracescope.sources.tracefs import parse_format
host = LiveHost()
data = host.read(host.tracefs + "/events/syscalls/sys_enter_execve/format")
session = open_session(host, [parse_format(data, "syscalls")])
session.start()
session.wait_running({START_SECONDS})
print("running", flush=True)
sys.stdin.read(1)
"""


def holder():
    command = [sys.executable, "-c", HOLDER]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"running\n"
    return process


def test_after_stop_this_process_holds_nothing_and_nothing_is_loaded():
    before = held_programs()
    with attached(EXEC) as session:
        loaded = programs_of(os.getpid())
        assert loaded
        assert len(held_programs()) > len(before)
        session.stop()
        assert held_programs() == before
    assert wait_until_gone(loaded)


@pytest.mark.parametrize("how", ["killed", "interpreter exit"])
def test_a_process_that_ends_without_stopping_leaves_nothing_loaded(how):
    with holder() as process:
        loaded = programs_of(process.pid)
        assert loaded
        if how == "killed":
            process.send_signal(signal.SIGKILL)
        process.communicate(b"x")
        assert process.returncode == (-signal.SIGKILL if how == "killed" else 0)
    assert wait_until_gone(loaded)


def test_the_states_come_in_order_and_are_timed():
    session = open_session(HOST, [format_of(GETPPID)])
    assert session.state is SessionState.PREPARE
    session.start()
    session.wait_running(START_SECONDS)
    assert session.state is SessionState.RUN
    os.getppid()
    session.stop()
    session.stop()
    assert session.state is SessionState.ENDED
    assert session.error is None
    assert list(session.timings) == [SessionState(name) for name in ("prepare", "load", "attach", "run", "detach")]
    assert session.counts().events >= 1


def test_two_sessions_on_one_event_both_see_it():
    with attached(EXEC) as first, attached(EXEC) as second:
        os.spawnv(os.P_WAIT, "/bin/true", ["/bin/true", "twice"])
        for session in (first, second):
            session.stop()
            seen = [event for event in decoded(session) if event.args["argv"] == ["/bin/true", "twice"]]
            assert len(seen) == 1


def test_all_probes_of_a_session_begin_and_end_together():
    done = threading.Event()

    def call():
        while not done.is_set():
            os.getppid()

    caller = threading.Thread(target=call)
    caller.start()
    try:
        with attached(GETPPID, "syscalls:sys_exit_getppid", buffer=10_000_000) as session:
            session.stop()
            counts = session.counts()
    finally:
        done.set()
        caller.join()
    enter, leave = (count.events + count.lost for count in counts.per_probe)
    # One call may be under way at each end.
    assert abs(enter - leave) <= 2 * os.cpu_count()


def test_one_probe_that_cannot_be_attached_does_not_stop_the_others():
    gone = replace(format_of(EXEC), group="gone", name="event", id=999_999)
    with Session(open_plan(HOST, [gone, format_of(GETPPID)])) as session:
        session.wait_running(START_SECONDS)
        os.getppid()
        session.stop()
        ((probe, error),) = session.failed
    assert probe.name == "tracepoint:gone:event"
    assert "no event has this id" in error.why
    assert session.counts().per_probe[1].events >= 1


def test_a_session_without_any_probe_that_can_be_attached_fails_and_says_why():
    gone = replace(format_of(GETPPID), id=999_999)
    with Session(open_plan(HOST, [gone])) as session:
        with pytest.raises(AttachError, match="cannot be attached"):
            session.wait_running(START_SECONDS)
        session.stop()
    assert session.state is SessionState.FAILED


def test_what_the_compiler_says_is_kept_and_never_printed(capfd):
    with pytest.raises(AttachError) as caught:
        BccBackend().compile("int probe_0(void *ctx) { return undeclared; }")
    assert "undeclared" in caught.value.why
    assert "error:" in caught.value.log
    assert capfd.readouterr() == ("", "")


def test_what_the_verifier_says_is_kept_and_never_printed(capfd):
    compiled = BccBackend().compile("int probe_0(u64 *ctx) { return *(u64 *)ctx[1]; }")
    with load(compiled) as loaded:
        error = loaded.refused["probe_0"]
    assert "verifier refused" in error.what
    assert error.why
    assert error.log.count("\n") > 2
    assert capfd.readouterr() == ("", "")


def test_a_step_that_the_verifier_refuses_refuses_the_programs_that_go_on_into_it():
    text = """
BPF_PROG_ARRAY(to_step, 1);
int step(u64 *ctx) { return *(u64 *)ctx[1]; }
int probe_0(u64 *ctx) { to_step.call(ctx, 0); return 0; }
int probe_1(u64 *ctx) { return 0; }
"""
    with load(BccBackend().compile(text)) as loaded:
        assert list(loaded.programs) == ["probe_1"]
        assert loaded.refused["probe_0"] is loaded.refused["step"]
        assert "verifier refused" in loaded.refused["probe_0"].what


def test_a_compiled_program_can_be_loaded_again_without_the_compiler():
    compiled = BccBackend().compile(program_text(open_plan(HOST, [format_of(EXEC)])))

    class Kept:
        def load(self, text, kinds):
            return load(Compiled(compiled.programs, compiled.maps))

    with Session(open_plan(HOST, [format_of(EXEC)]), backend=Kept()) as session:
        session.wait_running(START_SECONDS)
        os.spawnv(os.P_WAIT, "/bin/true", ["/bin/true", "kept"])
        session.stop()
        assert ["/bin/true", "kept"] in [event.args["argv"] for event in decoded(session)]


def test_the_headers_of_the_running_kernel_are_not_needed(monkeypatch):
    # BCC looks in /lib/modules and in these; our own tree comes before all of them.
    monkeypatch.setenv("BCC_KERNEL_SOURCE", "/no/such/folder")
    monkeypatch.setenv("BCC_KERNEL_MODULES_DIR", "/no/such/folder")
    compiled = BccBackend().compile(program_text(plan([format_of(GETPPID)])))
    assert set(compiled.programs) == {"probe_0"}
    assert os.environ["BCC_KERNEL_SOURCE"] == "/no/such/folder"


def test_a_snapshot_is_refused_with_the_reason(tmp_path):
    with pytest.raises(Refused, match="a snapshot cannot be attached"):
        open_session(SnapshotHost(tmp_path), [format_of(EXEC)])


def test_without_rights_the_refusal_says_what_to_do():
    source = """
import os
from tracescope.attach.open import open_session
from tracescope.errors import Refused
from tracescope.host import LiveHost
os.setgid(65534)
os.setuid(65534)
try:
    open_session(LiveHost(), [])
except Refused as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert "nothing can be attached" in done.stdout
    assert "run as root" in done.stdout

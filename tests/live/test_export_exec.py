"""execve exported as bpftrace, BCC and libbpf, beside the process monitor and TraceScope's own session."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from attached import HOST, decoded
from exported import build, export, export_script, python_with_bcc, running, unquoted, workload
from monitored import monitor, taken

from tracescope.attach.launch import launch
from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters
from tracescope.attach.targets.find import find_targets
from tracescope.processes import ExecEvent, ExecFailed, ExitEvent

CALLS = "tracepoint:syscalls:sys_"
COMM = "ts_work"
EXECS = """
import os, subprocess
subprocess.run(['/bin/true', 'one', 'two words', '', 'qu"ote'])
for number in range(5):
    try: subprocess.run([f'/no/such/{number}', 'x'])
    except OSError: pass
subprocess.run(['/bin/sh', '-c', 'exit 7'])
subprocess.run(['/bin/sh', '-c', 'kill -9 $$'])
"""


def own_lines(events) -> list[str]:
    """The process monitor's events as the exported tracers print them, without times."""
    lines = []
    for event in events:
        head = f"{event.pid} {event.ppid} {event.name}"
        if isinstance(event, ExitEvent):
            lines.append(f"{head} {f'signal={event.signal}' if event.signal else f'exit_code={event.exit_code}'}")
        elif isinstance(event, ExecEvent | ExecFailed):
            lines.append(f"{head} {event.filename} {list(event.argv)} {event.ret or 0}")
    return sorted(lines)


def printed_lines(out: str) -> list[str]:
    """The same of what they print."""
    lines = []
    for line in out.splitlines():
        found = re.match(r'\S+ +(\d+) +\d+ +(\d+) +"(?:[^"\\]|\\.)*" (exec|exec_failed|exit) (.*)', line)
        if not found:
            continue
        pid, ppid, kind, rest = found.groups()
        if kind == "exit":
            lines.append(f"{pid} {ppid} exit {rest.split(' ')[0]}")
            continue
        text = r'"(?:[^"\\]|\\.)*"'
        name, argv, ret = re.match(rf"filename=({text}) argv=\[((?:{text}(?:, )?)*)\] ret=(-?\d+)", rest).groups()
        arguments = [unquoted(one) for one in re.findall(text, argv)]
        lines.append(f"{pid} {ppid} {kind} {unquoted(name)} {arguments} {ret}")
    return sorted(lines)


@pytest.mark.parametrize("transport", ["ring", "perf"])
def test_the_exec_tracer_tells_what_the_process_monitor_does(transport, tmp_path, vmlinux):
    child = launch([sys.executable, "-I", "-S", "-c", EXECS])
    try:
        ends = [f"{CALLS}{end}_{name}" for name in ("execve", "execveat") for end in ("enter", "exit")]
        words = [*ends, "--tree", str(child.pid), "--transport", transport]
        (python,) = export(tmp_path, "bcc", words).iterdir()
        native = build(export(tmp_path, "libbpf", words), vmlinux)
        commands = [python_with_bcc() or "", "-I", str(python)], [str(native)]
        with monitor(Filters(tree=(child.pid,))) as session, running(*commands) as tracers:
            child.release()
            child.wait()
            outs = [tracer.stop() for tracer in tracers]
            session.stop()
            own = own_lines(taken(session))
    finally:
        child.abandon()
    # The execs of true and sh and of the script itself, ten failures or more along PATH, and their ends.
    assert len([line for line in own if " exec_failed " in line]) >= 5
    assert [printed_lines(out) for out in outs] == [own, own]
    assert all(int(duration) > 0 for out in outs for duration in re.findall(r" duration_ns=(\d+)", out))


EXECVES = """
import os
def start(path, argv):
    if os.fork() == 0:
        try: os.execve(path, argv, {})
        except OSError: os._exit(1)
    os.wait()
for path in ('/bin/true', '/no/such/file', '/bin/true', '/etc'):
    start(path, [path, 'one', 'two words', 'three'])
start('/bin/true', ['true', *'abcdefghij'])
start(os.open('/bin/true', os.O_RDONLY), ['true', 'by fd'])
start(os.open('/etc/passwd', os.O_RDONLY), ['no', 'program'])
"""
STARTED, FAILED = 4, 3


@pytest.mark.parametrize("transport", ["ring", "perf"])
def test_a_call_of_execve_as_one_event_has_its_arguments_in_all_three(transport, tmp_path, vmlinux):
    words = [f"{CALLS}enter_execve", f"{CALLS}exit_execveat", "--pair", "--comm", COMM]
    script = export_script(tmp_path, words)
    assert script is not None
    (python,) = export(tmp_path, "bcc", [*words, "--transport", transport]).iterdir()
    native = build(export(tmp_path, "libbpf", [*words, "--transport", transport]), vmlinux)
    commands = [python_with_bcc() or "", "-I", str(python)], [str(native)]
    command = workload(tmp_path, COMM, EXECVES)
    with monitor(Filters(tree=(os.getpid(),))) as session, running(*commands) as tracers:
        line = ["bpftrace", "-c", " ".join(command), str(script)]
        traced = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=120)
        assert traced.returncode == 0, traced.stderr
        outs = [tracer.stop() for tracer in tracers]
        session.stop()
        own = [event for event in taken(session) if isinstance(event, ExecEvent | ExecFailed)]
    own = [one for one in own if (one.comm if isinstance(one, ExecFailed) else one.comm_before) == COMM]
    assert len([one for one in own if isinstance(one, ExecEvent)]) == STARTED
    assert len(own) == STARTED + FAILED
    for out in outs:
        assert printed_lines(out) == own_lines(own)
    assert all(int(duration) > 0 for out in outs for duration in re.findall(r" duration_ns=(\d+)", out))
    found = re.findall(
        r" filename=(.*?) (?:flags=\S+ )?ret=(-?\d+) duration_ns=\d+ argv=(.*)$", traced.stdout, re.MULTILINE
    )
    wanted = [
        (one.filename, str(one.ret or 0), " ".join([*one.argv[:8], *(["..."] if len(one.argv) > 8 else [])]))
        for one in own
    ]
    # The last two are execveat with an empty name, which the monitor shows as the kernel does.
    assert [row[1:] for row in found] == [row[1:] for row in wanted]
    assert [row[0] for row in found] == [*(row[0] for row in wanted[:-2]), "", ""]


def test_conditions_of_an_execve_as_one_event(tmp_path, vmlinux):
    where = 'ret < 0 && args.filename =~ "/no/*" || args.filename == "/bin/true" && duration_ns > 0'
    one = [f"{CALLS}enter_execve", "--pair", "--comm", COMM, "--where", where]
    (python,) = export(tmp_path, "bcc", one).iterdir()
    native = build(export(tmp_path, "libbpf", one), vmlinux)
    script = export_script(tmp_path, one)
    with running([python_with_bcc() or "", "-I", str(python)], [str(native)]) as tracers:
        line = ["bpftrace", "-c", " ".join(workload(tmp_path, COMM, EXECVES)), str(script)]
        traced = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=120)
        assert traced.returncode == 0, traced.stderr
        outs = [tracer.stop() for tracer in tracers]
    names = [re.findall(r" filename=\"?(/[^\" ]*)", out) for out in (*outs, traced.stdout)]
    assert names == [["/bin/true", "/no/such/file", "/bin/true", "/bin/true"]] * 3


@pytest.mark.parametrize("calls", [["execve"], ["execve", "execveat"]], ids=["execve", "all four"])
def test_bpftrace_prints_both_ends_of_execve_as_the_session_sees_them(calls, tmp_path):
    probes = [f"{CALLS}{end}_{name}" for name in calls for end in ("enter", "exit")]
    comms = (COMM, "true")
    script = export_script(tmp_path, [*probes, *(word for comm in comms for word in ("--comm", comm))])
    with open_session(HOST, find_targets(HOST, probes), Filters(comm=comms), buffer=100_000) as session:
        session.wait_running(120)
        line = ["bpftrace", "-c", " ".join(workload(tmp_path, COMM, EXECVES)), str(script)]
        traced = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=120)
        assert traced.returncode == 0, traced.stderr
        session.stop()
        own = decoded(session)
    found = re.findall(
        r" tracepoint:\w+:(\w+) (?:(?:fd=\S+ )?filename=(.*?) (?:flags=\S+ )?argv=(.*)|ret=(\S+))$",
        traced.stdout, re.MULTILINE,
    )  # fmt: skip
    wanted = [(event.probe.rpartition(":")[2], *_told(event)) for event in sorted(own, key=lambda event: event.time_ns)]
    assert found == wanted
    enters = [row for row in found if "_enter_" in row[0]]
    assert len(enters) == (STARTED + FAILED if "execveat" in calls else STARTED + FAILED - 2), found


def _told(event) -> tuple[str, str, str]:
    """File name, arguments and result of an end of a call, as bpftrace prints them."""
    if "_exit_" in event.probe:
        return "", "", str(event.ret)
    return event.args["filename"], " ".join(event.args["argv"]), ""

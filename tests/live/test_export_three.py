"""Each selection as bpftrace, BCC and libbpf: built, run, and beside TraceScope's own session on one workload."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from attached import HOST, decoded
from exported import build, export, lines_of, python_with_bcc, running, unquoted, values, workload
from monitored import monitor, taken

from tracescope.attach.ask.asked import Asked
from tracescope.attach.launch import launch
from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters
from tracescope.attach.targets.find import find_targets
from tracescope.cli.main import main
from tracescope.export.bcc import project as bcc
from tracescope.export.libbpf import project as libbpf
from tracescope.export.tracer import Tracer
from tracescope.processes import ExecEvent, ExecFailed, ExitEvent

CALLS = "tracepoint:syscalls:sys_"
COMM = "ts_work"
OPENS = """
import os, time
for number in range(40):
    os.close(os.open('/dev/null' if number % 2 else '/dev/zero', os.O_RDONLY))
    try: os.open('/no/such/"file"', os.O_RDONLY)
    except OSError: pass
with open('/dev/zero', 'rb', 0) as zero:
    for size in (1, 2, 3, 100, 100, 5000): zero.read(size)
time.sleep(0.01)
"""


class Selection(NamedTuple):
    probes: list[str]
    options: list[str] = []  # noqa: RUF012 - a tuple's default is shared, and nobody changes it
    where: str = ""
    pair: bool = False
    transport: str = ""


PERF = "perf"
SELECTIONS = {
    "openat with a filter": Selection([f"{CALLS}enter_openat"], where='args.filename == "/dev/null"'),
    "openat as a pair": Selection([f"{CALLS}enter_openat"], where="ret < 0", pair=True),
    "openat by its end": Selection([f"{CALLS}enter_openat", f"{CALLS}exit_openat"], where="pid > 0"),
    "sched_switch counted": Selection(
        ["tracepoint:sched:sched_switch"], ["--count-by", "args.prev_comm, args.prev_pid"]
    ),
    "read sizes": Selection([f"{CALLS}exit_read"], ["--hist", "args.ret"], where="args.ret >= 0"),
    "stacks": Selection([f"{CALLS}enter_openat"], ["--count-by", "kstack, ustack"]),
    "openat that failed": Selection([f"{CALLS}exit_openat"], where="ret < 0"),
    "openat as a pair by perf buffer": Selection([f"{CALLS}enter_openat"], pair=True, transport=PERF),
    "text of a record by perf buffer": Selection(["tracepoint:sched:sched_process_exit"], transport=PERF),
    "text of a record": Selection(["tracepoint:sched:sched_process_exit"]),
    "raw tracepoint": Selection(["rawtracepoint:sched_process_exit"], ["--show", "args.p->comm, args.p->mm"]),
}


@pytest.fixture(scope="module")
def vmlinux(tmp_path_factory, require_build) -> Path:
    file = tmp_path_factory.mktemp("btf") / "vmlinux.h"
    dump = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]
    file.write_bytes(subprocess.run(dump, capture_output=True, check=True, timeout=60).stdout)
    return file


@pytest.fixture(scope="module")
def require_build() -> None:
    for tool in ("bpftool", "clang", "make", "gcc", "bpftrace"):
        assert shutil.which(tool), f"{tool} is not installed: script/test installs it"
    assert Path("/usr/include/bpf/libbpf.h").exists(), "libbpf-dev is not installed: script/test installs it"
    assert python_with_bcc(), "python3-bpfcc is not installed: script/test installs it"


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("user") / COMM
    source = Path(__file__).parent / "programs" / "usdt.c"
    subprocess.run(["gcc", "-O1", "-o", str(path), str(source)], check=True)
    return str(path)


def run_all(folder: Path, vmlinux: Path, one: Selection, command: list[str]):
    """What own session, bpftrace, BCC and libbpf saw of one run."""
    words = [*one.probes, "--comm", COMM, *(["--pair"] if one.pair else []), *one.options]
    words += ["--where", one.where] if one.where else []
    script = export_script(folder, words)
    words += ["--transport", one.transport] if one.transport else []
    (python,) = export(folder, "bcc", words).iterdir()
    native = build(export(folder, "libbpf", words), vmlinux)
    show = tuple(one.options[1:]) if "--show" in one.options else ()
    targets = find_targets(HOST, one.probes, pair=one.pair)
    session = open_session(HOST, targets, Filters(comm=(COMM,)), asked=Asked(one.where, show), buffer=100_000)
    with session, running([python_with_bcc() or "", "-I", str(python)], [str(native)]) as tracers:
        session.wait_running(120)
        line = ["bpftrace", "-c", " ".join(command), str(script)] if script else command
        traced = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=120)
        assert traced.returncode == 0, traced.stderr
        outs = [tracer.stop() for tracer in tracers]
        if one.transport == PERF:
            # Each CPU has its own.
            outs = ["\n".join(sorted(out.splitlines())) for out in outs]
        session.stop()
        assert session.counts().lost == 0
        assert all(tracer.errors.rstrip().endswith(" 0 lost") for tracer in tracers)
        return decoded(session), traced.stdout if script else None, *outs


def export_script(folder: Path, words: list[str]) -> Path | None:
    """The script, unless the installed bpftrace cannot do what it takes."""
    if main(["export", *words, "--as", "bpftrace", "-o", str(folder / "bpftrace")]):
        assert main(["export", *words, "--as", "bpftrace", "--target", "0.23", "-o", str(folder / "bpftrace")]) == 0
        return None
    (script,) = (folder / "bpftrace").iterdir()
    return script


def assert_same(own, line: str) -> int:
    """Each value of a line is the event's; how many could be compared."""
    compared = 0
    for name, text in values(line).items():
        known = {**own.args, "ret": own.ret}.get(name)
        if isinstance(known, int):
            assert int(text) == known, (name, line)
        elif isinstance(known, str) and text.startswith('"'):
            assert unquoted(text) == known, (name, line)
        else:
            continue
        compared += 1
    return compared


@pytest.mark.parametrize(
    "name", [name for name, one in SELECTIONS.items() if "-by" not in str(one) and "hist" not in str(one)]
)
def test_the_same_events_in_all_three(name, tmp_path, vmlinux):
    one = SELECTIONS[name]
    kind = one.probes[0].partition(":")[0]
    own, script, python, native = run_all(tmp_path, vmlinux, one, workload(tmp_path, COMM, OPENS))
    lines = lines_of(native, kind)
    without_time = [
        [re.sub(r" duration_ns=\d+", "", line) for line in some] for some in (lines, lines_of(python, kind))
    ]
    assert without_time[0] == without_time[1]
    assert len(own) == len(lines) > 0
    assert script is None or len(lines_of(script, kind)) == len(own)
    assert sum(map(assert_same, own, lines)) > 0


@pytest.mark.parametrize("name", ["sched_switch counted", "stacks"])
def test_the_same_counts_in_all_three(name, tmp_path, vmlinux):
    own, script, python, native = run_all(tmp_path, vmlinux, SELECTIONS[name], workload(tmp_path, COMM, OPENS))
    by_bpftrace = sum(map(int, re.findall(r"\]: (\d+)$", script, re.MULTILINE)))
    by_libbpf, by_bcc = (
        sum(map(int, re.findall(r"^ *(\d+)  tracepoint:", out, re.MULTILINE))) for out in (native, python)
    )
    assert len(own) == by_libbpf == by_bcc == by_bpftrace > 0
    if name == "stacks":
        assert "+0x" in native
        assert "+0x" in python


def test_the_same_histogram_in_all_three(tmp_path, vmlinux):
    own, script, python, native = run_all(tmp_path, vmlinux, SELECTIONS["read sizes"], workload(tmp_path, COMM, OPENS))
    wanted = Counter(max(0, event.ret.bit_length() - 1) if event.ret else -1 for event in own)
    for out in (native, python):
        found = {
            (-1 if low == "0]" else int(re.findall(r"\d+", low)[0]).bit_length() - 1): int(count)
            for count, low in re.findall(r"^ *(\d+)  tracepoint:\S+ \[(.*)$", out, re.MULTILINE)
        }
        assert found == wanted
    assert sum(map(int, re.findall(r"[\])]\s+(\d+) \|", script))) == len(own)


@pytest.mark.parametrize("kind", ["uprobe", "usdt", "semaphore"])
def test_probes_in_programs(kind, program, tmp_path, vmlinux):
    probes = {
        "uprobe": [f"uprobe:{program}:twice", f"uretprobe:{program}:twice"],
        "usdt": [f"usdt:{program}:test:both"],
        "semaphore": [f"usdt:{program}:test:counted"],
    }[kind]
    own, script, python, native = run_all(tmp_path, vmlinux, Selection(probes), [program, "50"])
    word = "u" if kind == "uprobe" else "usdt"
    pattern = re.compile(rf" {word}\w*:")
    lines = [
        [line[pattern.search(line).start() :] for line in out.splitlines() if pattern.search(line)]
        for out in (native, python)
    ]
    assert lines[0] == lines[1]
    assert len(own) == len(lines[0]) == sum(1 for line in script.splitlines() if pattern.search(line)) > 0
    assert sum(map(assert_same, own, lines[0])) >= len(own)


def test_samples(tmp_path, vmlinux):
    burn = "import time; end = time.monotonic() + 0.4\nwhile time.monotonic() < end: pass"
    one = Selection(["profile:hz:99"], ["--count-by", "comm, ustack"])
    own, script, python, native = run_all(tmp_path, vmlinux, one, workload(tmp_path, COMM, burn))
    counted = [sum(map(int, re.findall(r"^ *(\d+)  profile:", out, re.MULTILINE))) for out in (native, python)]
    # Each tracer has a clock of its own.
    assert all(abs(count - len(own)) < 20 for count in counted)
    assert min(counted) > 5
    assert script.count("]: ") > 0


def test_functions_of_the_kernel_are_built(tmp_path, vmlinux):
    from tracescope.attach.open import kernel_types
    from tracescope.attach.targets.btf import function_target
    from tracescope.model import ProbeKind

    types = kernel_types(HOST)
    kinds = (ProbeKind.KPROBE, ProbeKind.KRETPROBE, ProbeKind.FENTRY, ProbeKind.FEXIT)
    targets = tuple(function_target(kind, "vfs_read", "", types) for kind in kinds)
    tracer = Tracer("reads", targets, btf=types)
    for name, text in libbpf.project(tracer).items():
        (tmp_path / name).write_text(text)
    build(tmp_path, vmlinux)
    (text,) = bcc.project(tracer).values()
    compile(text, "reads.py", "exec")
    assert "event='vfs_read'" in text
    assert "int FENTRY(vmlinux, vfs_read)(u64 *ctx)" in text


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


ARGV = """
import os
for argv in (['true', 'one', 'two words', '', 'qu"ote\\n'], ['true'] * 25, ['true', 'x' * 300]):
    if os.fork() == 0: os.execv('/bin/true', argv)
    os.wait()
"""


def test_a_lone_execve_prints_its_arguments(tmp_path, vmlinux):
    one = Selection([f"{CALLS}enter_execve"], where='args.filename == "/bin/true"')
    own, script, python, native = run_all(tmp_path, vmlinux, one, workload(tmp_path, COMM, ARGV))
    lines = lines_of(native, "tracepoint")
    assert lines == lines_of(python, "tracepoint")
    assert len(lines) == len(own) == 3
    assert "argv=true one two words" in script
    found = [re.search(r" argv=\[(.*)\]", line)[1] for line in lines]
    texts = [[unquoted(text) for text in re.findall(r'"(?:[^"\\]|\\.)*"', words)] for words in found]
    wanted = [list(event.args["argv"]) for event in own]
    assert texts[0] == wanted[0] == ["true", "one", "two words", "", 'qu"ote\n']
    assert texts[1] == wanted[1][:20]
    assert found[1].endswith(", ...")
    assert texts[2] == ["true", "x" * 127]

"""Each selection as bpftrace, BCC and libbpf: built, run, and beside TraceScope's own session on one workload."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from attached import HOST, decoded
from exported import build, export, export_script, lines_of, python_with_bcc, running, unquoted, values, workload

from tracescope.attach.ask.asked import Asked
from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters
from tracescope.attach.targets.find import find_targets
from tracescope.export.bcc import project as bcc
from tracescope.export.libbpf import project as libbpf
from tracescope.export.tracer import Tracer

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
    "several kinds at once": Selection(
        [f"{CALLS}enter_openat", f"{CALLS}exit_openat", f"{CALLS}enter_close"], ["--show", "comm, ppid"]
    ),
    "text of a record by perf buffer": Selection(["tracepoint:sched:sched_process_exit"], transport=PERF),
    "text of a record": Selection(["tracepoint:sched:sched_process_exit"]),
    "raw tracepoint": Selection(["rawtracepoint:sched_process_exit"], ["--show", "args.p->comm, args.p->mm"]),
}


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


@pytest.mark.parametrize("transport", ["ring", PERF])
@pytest.mark.parametrize("kind", ["uprobe", "usdt", "semaphore"])
def test_probes_in_programs(kind, transport, program, tmp_path, vmlinux):
    probes = {
        "uprobe": [f"uprobe:{program}:twice", f"uretprobe:{program}:twice"],
        "usdt": [f"usdt:{program}:test:both"],
        "semaphore": [f"usdt:{program}:test:counted"],
    }[kind]
    own, script, python, native = run_all(tmp_path, vmlinux, Selection(probes, transport=transport), [program, "50"])
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

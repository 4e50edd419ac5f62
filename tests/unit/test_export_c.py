"""The C of BCC programs and libbpf projects: compiled without a warning, from a recorded host; nothing is loaded."""

from __future__ import annotations

import ast
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from exported import build

from tracescope.attach.ask.options import AttachOptions
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.libbpf.compile import FLAGS, find_clang
from tracescope.attach.libbpf.translate import to_libbpf
from tracescope.attach.open import kernel_types
from tracescope.attach.plan import Filters
from tracescope.attach.targets.btf import function_target
from tracescope.attach.targets.sample import sample_target
from tracescope.attach.targets.target import Target, UserPlace, UserSite, tracepoint
from tracescope.errors import Refused
from tracescope.export.bcc import project as bcc
from tracescope.export.libbpf import project as libbpf
from tracescope.export.make import export_files, open_tracer
from tracescope.export.tracer import Tracer
from tracescope.host import SnapshotHost
from tracescope.model import EventFormat, Field, ProbeKind

TOOLS = ("clang", "bpftool", "make", "gcc")
CALLS = "tracepoint:syscalls:sys_"
BOTH = [f"{CALLS}enter_execve", f"{CALLS}exit_execve"]
SELECTIONS = {
    "execve, both ends": (BOTH, AttachOptions()),
    "a tree of execs": (BOTH, AttachOptions(Filters(tree=(1,), uid=(0, 1000), comm=("sh",)))),
    "execve as a pair": (
        [f"{CALLS}enter_execve"],
        AttachOptions(pair=True, where='ret < 0 && args.filename =~ "/usr/*" && comm != "sh" && ppid > 1'),
    ),
    "execveat as a pair": ([f"{CALLS}exit_execveat"], AttachOptions(pair=True)),
    "a lone execve": ([f"{CALLS}enter_execve"], AttachOptions(where='args.filename == "/bin/sh"')),
    "openat as a pair": (
        [f"{CALLS}enter_openat"],
        AttachOptions(pair=True, where="ret < 0 && duration_ns > 1000", show=("args.flags & O_CREAT, ppid", "comm")),
    ),
    "records and raw tracepoints": (
        ["tracepoint:sched:sched_process_exec", "tracepoint:sched:sched_switch", "rawtracepoint:sched_process_exit"],
        AttachOptions(where="pid > 1"),
    ),
    "members": (
        ["rawtracepoint:sched_process_exit"],
        AttachOptions(show=("args.p->comm, args.p->mm->arg_start",), where='args.p->comm =~ "s*" && args.p->tgid > 1'),
    ),
    "counted": (
        ["tracepoint:sched:sched_switch"],
        AttachOptions(count_by="args.prev_comm, args.prev_pid, ustack", stack="kernel"),
    ),
    "a histogram of a pair": (
        [f"{CALLS}enter_read"],
        AttachOptions(pair=True, hist="ret", count_by="comm, args.fd", where="ret >= 0"),
    ),
    "a followed tree": ([f"{CALLS}enter_openat"], AttachOptions(Filters(tree=(1, 2), tid=(3,)))),
}


@pytest.fixture(scope="module")
def host(debian12: SnapshotHost) -> SnapshotHost:
    return debian12


@pytest.fixture(scope="module")
def types(host):
    return kernel_types(host)


@pytest.fixture(scope="module")
def vmlinux(host, tmp_path_factory) -> Path:
    """vmlinux.h of the recorded kernel."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=path)]
    missing += [] if Path("/usr/include/bpf/libbpf.h").exists() else ["libbpf-dev"]
    # Where tests are run for others, all is there: script/test installs it.
    assert not (missing and os.environ.get("CI")), missing
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (script/test installs it)")
    folder = tmp_path_factory.mktemp("btf")
    (folder / "vmlinux").write_bytes(host.read("/sys/kernel/btf/vmlinux"))
    dump = [shutil.which("bpftool", path=path), "btf", "dump", "file", str(folder / "vmlinux"), "format", "c"]
    (folder / "vmlinux.h").write_bytes(subprocess.run(dump, capture_output=True, check=True, timeout=60).stdout)
    return folder / "vmlinux.h"


def written(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return folder


METHODS = """
typedef u8 __u8; typedef s8 __s8; typedef u16 __u16; typedef s16 __s16;
typedef u32 __u32; typedef s32 __s32; typedef u64 __u64; typedef s64 __s64;
static long (*bpf_get_stackid)(void *ctx, void *map, u64 flags) = (void *)27;
"""


def program_of(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The C that the program hands to BCC with its own filters, and the members whose offsets it looks up."""
    kept = ("PROGRAM", "MEMBERS", "FILTERS", "conditions")
    body = [
        one
        for one in ast.parse(text).body
        if getattr(one, "name", getattr(getattr(one, "targets", [None])[0], "id", "")) in kept
    ]
    names: dict[str, Any] = {"os": os, "struct": struct}
    exec(compile(ast.Module(body, []), "exported", "exec"), names)
    conditions = names["conditions"](SimpleNamespace(**names["FILTERS"]))
    return names["PROGRAM"].replace("/* FILTERS */", conditions), names["MEMBERS"]


def compile_bcc(text: str, folder: Path) -> None:
    """The C inside, with what BCC puts in the place of its maps' methods, by clang alone."""
    program, members = program_of(text)
    program = re.sub(r'BPF_TABLE\("stacktrace".*\n', "", program)
    program = program.replace("stacks.get_stackid(ctx, ", "bpf_get_stackid(ctx, (void *)0, ")
    program = program.replace("lost.atomic_increment(zero)", "__sync_fetch_and_add((u64 *)lost.lookup(&zero), 1)")
    unit = to_libbpf(f"{METHODS}{program}")
    (folder / "program.c").write_text(unit, "utf-8", "surrogateescape")
    # Filters are put in when it starts: what they would use, and the context, may be unused.
    flags = ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", *FLAGS, "-DPAGE_SIZE=4096"]
    flags += [f"-DOFFSET_{tag.replace(' ', '_')}_{member}=8" for tag, member in members]
    words = [find_clang(), *flags, "-c", "program.c", "-o", "program.o"]
    made = subprocess.run(words, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120)
    assert made.returncode == 0, made.stderr[-3000:]


CARRIED = [
    (name, transport)
    for name, (_, options) in SELECTIONS.items()
    for transport in (Transport.RING, *(() if options.counts else (Transport.PERF,)))
]


@pytest.mark.parametrize(("name", "transport"), CARRIED, ids=[f"{name}, {way.name.lower()}" for name, way in CARRIED])
def test_what_is_exported_compiles_without_a_warning(name, transport, host, vmlinux, tmp_path):
    probes, options = SELECTIONS[name]
    tracer = open_tracer(host, probes, options, transport=transport)
    (text,) = export_files(host, tracer, "bcc").values()
    compile_bcc(text, tmp_path)
    files = export_files(host, tracer, "libbpf")
    assert ("RINGBUF" in "".join(files.values())) == (transport is Transport.RING and not options.counts)
    build(written(tmp_path / "libbpf", files), vmlinux)


WORDS = (
    "class",
    "while",
    "ctx",
    "event",
    "a-b",
    "$x",
    '"',
    "*/",
    "a\nb",
    "é",
    "__u64",
    "room",
    "9",
    "int",
    "a_b",
    "pad_1",
    "",
)
FIELDS = tuple(Field(word, "unsigned long", 16 + 8 * at, 8, signed=False) for at, word in enumerate(WORDS))
HOSTILE_COMMS = ('a"b', "back\\slash", "new\nline", "caf\udce9", "$(id)", "*/", '"""', "??/", "%s%n", "'''", "@NAME@")
HOSTILE_PATHS = ('/tmp/a "b" \\ %s\n*/ ??/ $(id)/traced', "/tmp/caf\udce9/@NAME@/'x'")


def hostile_targets(types) -> Iterator[Target]:
    for group, event in (("odd", "names"), ("odd", "while"), ("linux", "task_struct")):
        yield tracepoint(EventFormat(group, event, 7, FIELDS))
    for kind in (ProbeKind.KPROBE, ProbeKind.KRETPROBE, ProbeKind.FENTRY, ProbeKind.FEXIT):
        yield function_target(kind, "vfs_read", "", types)
    for path in HOSTILE_PATHS:
        for kind in (ProbeKind.UPROBE, ProbeKind.URETPROBE):
            called = function_target(
                ProbeKind.KRETPROBE if kind is ProbeKind.URETPROBE else ProbeKind.KPROBE, "vfs_read", "", types
            )
            place = UserPlace(path, (UserSite(0x1234),), -1)
            yield replace(called, kind=kind, probe=f'{kind}:{path}:*/ "f\\\n', place=place, user=True)
    yield sample_target(ProbeKind.SOFTWARE, "page-faults:100")


@pytest.mark.parametrize("transport", Transport, ids=["ring", "perf"])
def test_hostile_names_of_all_kinds_compile(transport, types, vmlinux, tmp_path):
    tracer = Tracer(
        "odd", tuple(hostile_targets(types)), Filters(comm=HOSTILE_COMMS), where=r'comm != "*/ \"\n??/ %s"',
        show=("comm",), btf=types, transport=transport,
    )  # fmt: skip
    (text,) = bcc.project(tracer).values()
    compile_bcc(text, tmp_path)
    native = build(written(tmp_path / "libbpf", libbpf.project(tracer)), vmlinux)
    # Its help says no more than that: it is run by nobody here.
    usage = subprocess.run([native, "--help"], capture_output=True, timeout=10)
    assert usage.returncode == 0
    assert b"\x1b" not in usage.stdout


def test_what_execve_as_one_event_does_not_go_with_is_refused(host):
    for more in ({"count_by": "comm"}, {"hist": "ret"}, {"show": ("ret",)}):
        tracer = open_tracer(host, [f"{CALLS}enter_execve"], AttachOptions(pair=True, **more))
        for form in ("bcc", "libbpf"):
            with pytest.raises(Refused, match="execve as one event"):
                export_files(host, tracer, form)
        assert "duration_ns" in export_files(host, tracer, "bpftrace")["sys_enter_execve.bt"] or not more.get("show")


def test_a_kernel_that_has_no_ring_buffer_gets_a_perf_buffer(host):
    class Old:
        """The recorded host, as if its kernel were older."""

        def __getattr__(self, name):
            return getattr(host, name)

        def read(self, path, *rest):
            return host.read(path, *rest).replace(b"bpf_ringbuf", b"bpf_old_buf")

    options = AttachOptions()
    assert open_tracer(host, [f"{CALLS}enter_openat"], options).transport is Transport.RING
    assert open_tracer(Old(), [f"{CALLS}enter_openat"], options).transport is Transport.PERF
    assert open_tracer(Old(), [f"{CALLS}enter_openat"], options, transport=Transport.RING).transport is Transport.RING

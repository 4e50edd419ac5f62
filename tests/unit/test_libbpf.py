"""The program text for clang: what the translation changes, and that all that we generate compiles."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from expressions import OPERANDS, TEXT_OPERANDS, Grammar, condition_function, host_scope
from formats import DATA_LOC, EXEC_FORMATS, EXECVEAT, HELPERS, KINDS, OFFSETS, OPENAT, OPENAT_EXIT, REL_LOC, SWITCH

import tracescope
from tracescope.attach.ask.keys import Counted, parse_keys, parse_linear
from tracescope.attach.ask.summary import KeyKind, Pow2
from tracescope.attach.counting.session import open_summary_plan
from tracescope.attach.expression.c_helpers import HELPERS as HELPERS_TEXT
from tracescope.attach.expression.c_text import compile_condition
from tracescope.attach.expression.check import check_condition
from tracescope.attach.expression.mistake import ExpressionError
from tracescope.attach.expression.parse import parse
from tracescope.attach.libbpf import library
from tracescope.attach.libbpf.backend import LibbpfBackend, missing
from tracescope.attach.libbpf.compile import compile_text, find_clang
from tracescope.attach.libbpf.translate import header, to_libbpf
from tracescope.attach.monitor.monitor import plan_monitor
from tracescope.attach.monitor.program import monitor_text
from tracescope.attach.open import open_plan
from tracescope.attach.plan import Cgroup, Filters, Namespace, plan
from tracescope.attach.program import program_text, summary_text
from tracescope.attach.record.layout import CaptureKind
from tracescope.attach.targets.find import find_targets
from tracescope.errors import AttachError, Refused
from tracescope.host import SnapshotHost

ALL = (SWITCH, DATA_LOC, REL_LOC, KINDS, OPENAT, OPENAT_EXIT, EXEC_FORMATS[0], EXECVEAT)
needs_clang = pytest.mark.skipif(find_clang() is None, reason="no clang here")
PROBES = {
    "fields": ["tracepoint:sched:sched_switch"],
    "arguments behind pointers": ["tracepoint:syscalls:sys_enter_openat", "tracepoint:syscalls:sys_enter_connect"],
    "execve": ["tracepoint:syscalls:sys_enter_execve", "tracepoint:syscalls:sys_enter_execveat"],
    "raw": ["rawtracepoint:sched_process_exec", "rawtracepoint:sys_enter"],
    "functions": ["kprobe:vfs_read", "kretprobe:vfs_read", "fentry:vmlinux:vfs_write", "fexit:vmlinux:vfs_write"],
    "samples": ["software:cpu-clock", "interval:ms:100"],
    "files": ["kprobe:vfs_open"],
}
FILTERS = {
    "none": Filters(),
    "all": Filters(
        pid=(1, 2), tree=(3,), uid=(0,), comm=("sh", "*/ evil"), cgroup=(Cgroup(77, 2),), tid=(4,), but_not=(5, 6),
        namespace=(Namespace(7, (8, 16, 24)),),
    ),
}  # fmt: skip
COUNTED = {
    "by key": Counted(parse_keys("comm,args.fd", [KeyKind.KERNEL_STACK, KeyKind.USER_STACK])),
    "powers": Counted(parse_keys("pid"), parse("args.count"), Pow2()),
    "a range": Counted((), *parse_linear("args.count:0:4096:64")),
    "sums": Counted((), parse("args.count * 2 - 1")),
}


def compiled(text: str) -> bytes:
    data = compile_text(to_libbpf(text))
    assert data.startswith(b"\x7fELF")
    return data


def functions(text: str) -> set[str]:
    return set(re.findall(r"^int (\w+)\(", text, re.MULTILINE))


# What is changed


def test_methods_of_maps_become_macros_and_nothing_else_is_touched():
    text = 'BPF_TABLE("lru_hash", u64, struct call, calls, 16);\n/* a.lookup(b) */\nint raw_x(u64 *ctx)\n{\n'
    text += "    return calls.update(&task, call) + record->head.update(1) + other.lookup(&task);\n}\n"
    made = to_libbpf(text).removeprefix(header())
    assert made.splitlines() == [
        "BPF_TABLE_lru_hash(u64, struct call, calls, 16);",
        "/* a.lookup(b) */",
        'SEC("tracescope") int ts_raw_x(u64 *ctx)',
        "{",
        "    return map_update(calls, &task, call) + record->head.update(1) + other.lookup(&task);",
        "}",
    ]


def test_every_map_and_every_method_of_our_texts_has_its_macro():
    sources = [
        path.read_text()
        for path in Path(tracescope.__file__).parent.joinpath("attach").rglob("*.[pc]*")
        if path.suffix in (".py", ".c")
    ]
    text = "".join(sources)
    kinds = set(re.findall(r"^(BPF_(?!TABLE)[A-Z_]+)\(\w+", text, re.MULTILINE))
    kinds |= {f"BPF_TABLE_{kind}" for kind in re.findall(r'BPF_TABLE\("(\w+)"', text)}
    assert len(kinds) >= 5
    assert {kind for kind in kinds if f"#define {kind}(" not in header()} == set()
    helpers = set(re.findall(r"\b(bpf_(?:get|probe|ktime|ringbuf)_\w+)\(", text)) - {"bpf_get_attach_cookie"}
    assert {name for name in helpers if f"(*{name})(" not in header()} == set()


# All that we generate


@needs_clang
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
def test_every_shape_of_a_tracepoint_compiles(filters: Filters):
    for offsets in (OFFSETS, None):
        text = program_text(plan(ALL, filters=filters, offsets=offsets, helpers=HELPERS))
        symbols = compiled(text)
        assert all(f"ts_{name}\0".encode() in symbols for name in functions(text))


@needs_clang
@pytest.mark.parametrize("names", PROBES.values(), ids=PROBES)
def test_every_kind_of_probe_compiles(debian12: SnapshotHost, names: list[str]):
    pairable = names[0].startswith(("kprobe", "tracepoint:syscalls")) and "execve" not in names[0]
    for pair in {False, pairable}:
        targets = find_targets(debian12, names, pair=pair)
        compiled(program_text(open_plan(debian12, targets, stacks=[CaptureKind.KERNEL_STACK, CaptureKind.USER_STACK])))


@needs_clang
@pytest.mark.parametrize("counted", COUNTED.values(), ids=COUNTED)
def test_every_way_of_counting_compiles(debian12: SnapshotHost, counted: Counted):
    targets = find_targets(debian12, ["tracepoint:syscalls:sys_enter_write"], pair=True)
    compiled(summary_text(open_summary_plan(debian12, targets, counted, FILTERS["all"])))


@needs_clang
@pytest.mark.parametrize("seed", range(3))
def test_conditions_of_every_kind_compile(seed: int):
    scope, grammar = host_scope(), Grammar(random.Random(seed), OPERANDS, TEXT_OPERANDS)
    made, number = [], 0
    while number < 40:
        try:
            checked = check_condition(parse(grammar.condition()), scope)
        except ExpressionError:
            continue
        made.append(condition_function(f"condition_{number}", compile_condition(checked, f"c{number}")))
        number += 1
    compiled(HELPERS_TEXT + "".join(made))


@needs_clang
@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("modes", [(False, False), (True, False), (False, True), (True, True)])
def test_every_mode_of_the_process_monitor_compiles(debian12: SnapshotHost, modes: tuple[bool, bool], filters: Filters):
    strict, failed_only = modes
    compiled(monitor_text(plan_monitor(debian12, filters, strict=strict, failed_only=failed_only)))


# What is missing, and mistakes


def test_without_clang_the_refusal_names_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/no/such/folder")
    with pytest.raises(Refused) as caught:
        compile_text("")
    assert caught.value.fix == "apt-get install clang"


def test_without_the_library_the_refusal_names_the_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library, "LIBRARY", "libbpf-that-is-not-there.so.1")
    library.library.cache_clear()
    try:
        refused = missing()
        assert refused is not None
        assert "libbpf-that-is-not-there.so.1 is not installed" in refused.why
        with pytest.raises(Refused, match="libbpf cannot be used"):
            LibbpfBackend().load("")
    finally:
        library.library.cache_clear()


@needs_clang
def test_what_the_compiler_says_is_kept_and_never_printed(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(AttachError) as caught:
        compile_text(to_libbpf("int probe_0(u64 *ctx)\n{\n    return undeclared;\n}\n"))
    assert "undeclared" in caught.value.why
    assert "error:" in caught.value.log
    assert capfd.readouterr() == ("", "")

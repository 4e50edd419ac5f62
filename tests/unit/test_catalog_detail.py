"""Everything known of one probe."""

from __future__ import annotations

import pytest
from made_host import FUNCTIONS, event_format, event_path, kallsyms, made_catalog

from tracescope.catalog.detail import describe, has_probe
from tracescope.catalog.listed import arguments, listed_arguments, signature_of
from tracescope.catalog.store import Catalog, Row
from tracescope.catalog.verdict import explain
from tracescope.model import Answer, Reason, Stability


def found(catalog: Catalog, probe: str) -> Row:
    row = catalog.find(probe)
    assert row is not None
    return row


def test_a_tracepoint_shows_its_format_pair_tables_and_topics(catalog12) -> None:
    detail = describe(catalog12, found(catalog12, "tracepoint:syscalls:sys_enter_openat"))
    assert detail.event is not None
    assert [field.name for field in detail.event.fields] == ["__syscall_nr", "dfd", "filename", "flags", "mode"]
    assert detail.pair == "tracepoint:syscalls:sys_exit_openat"
    assert detail.stability is Stability.STABLE
    assert detail.verdict.answer is Answer.YES
    assert "File open" in " ".join(detail.topics) or detail.topics
    assert detail.signature is None
    assert detail.symbol is None


def test_the_tables_of_a_print_format_are_read(catalog12) -> None:
    detail = describe(catalog12, found(catalog12, "tracepoint:sched:sched_switch"))
    assert [(table.field, table.kind) for table in detail.tables] == [("prev_state", "flags")]


def test_a_function_shows_its_prototype_symbol_and_class(catalog12) -> None:
    detail = describe(catalog12, found(catalog12, "kprobe:vfs_read"))
    assert detail.signature is not None
    assert detail.signature.prototype == "ssize_t vfs_read(struct file * file, char * buf, size_t count, loff_t * pos)"
    assert detail.symbol is not None
    assert (detail.symbol.type, detail.symbol.module) == ("T", "")
    assert detail.symbol_class is not None
    assert (detail.symbol_class.name, detail.symbol_class.scope) == ("text", "global")
    assert detail.stability is Stability.UNSTABLE
    assert "fentry:vmlinux:vfs_read" in dict(detail.alternatives)


def test_each_reason_comes_with_its_sentence_and_fix(catalog12) -> None:
    detail = describe(catalog12, found(catalog12, "kprobe:__die"))
    assert detail.reasons == ((Reason.BLACKLISTED, *explain(Reason.BLACKLISTED)),)


def test_a_gpl_export_of_a_module_keeps_its_small_letter_and_is_exported(catalog12) -> None:
    names = {row.name.removeprefix("__ksymtab_") for row in catalog12.view("__ksymtab_") if row.module}
    rows = [row for row in catalog12.view("kind:symbol type:t") if row.module and row.name in names]
    assert len(rows) > 50
    for row in rows:
        detail = describe(catalog12, row)
        assert detail.exported is True
        assert detail.symbol_class is not None
        assert detail.symbol_class.scope == "exported"


def test_where_exports_do_not_show_the_core_kernels_are_not_known(tmp_path) -> None:
    catalog = made_catalog(tmp_path, {"proc/kallsyms": kallsyms("T vfs_read", "T fuse_open fuse", "t fuse_read fuse")})
    exported = {
        name: describe(catalog, found(catalog, name)).exported for name in ("vfs_read", "fuse_open", "fuse_read")
    }
    assert exported == {"vfs_read": None, "fuse_open": True, "fuse_read": None}


def test_a_format_of_the_ftrace_group_shows_its_fields_and_offers_nothing(catalog12) -> None:
    row = found(catalog12, "format:ftrace:function")
    detail = describe(catalog12, row)
    assert detail.event is not None
    assert [field.name for field in detail.event.fields] == ["ip", "parent_ip"]
    assert detail.stability is None
    assert detail.alternatives == ()
    assert [parameter.name for parameter in arguments(catalog12, row)[0]] == ["ip", "parent_ip"]


def test_disagreement_is_said(catalog12) -> None:
    assert (
        "ftrace lists it, bpftrace does not"
        in describe(catalog12, found(catalog12, "kprobe:__do_pipe_flags.part.0")).notes
    )


@pytest.mark.parametrize(
    ("probe", "names", "returns"),
    [
        ("tracepoint:sched:sched_process_exec", ["filename", "pid", "old_pid"], None),
        ("rawtracepoint:sched_process_exec", ["filename", "pid", "old_pid"], None),
        ("kprobe:vfs_read", ["file", "buf", "count", "pos"], "ssize_t"),
        ("fexit:vmlinux:vfs_read", ["file", "buf", "count", "pos"], "ssize_t"),
        ("software:cpu-clock", [], None),
        ("symbol:jiffies", [], None),
    ],
)
def test_what_a_probe_carries(catalog12, probe: str, names: list[str], returns: str | None) -> None:
    parameters, given = arguments(catalog12, found(catalog12, probe))
    assert [parameter.name for parameter in parameters] == names
    assert given == returns


def test_arguments_as_bpftrace_lists_them(catalog12) -> None:
    fields = listed_arguments(catalog12, found(catalog12, "tracepoint:sched:sched_process_exec"))
    assert fields == ["__data_loc char[] filename", "pid_t pid", "pid_t old_pid"]
    row = found(catalog12, "fentry:vmlinux:vfs_read")
    assert listed_arguments(catalog12, row)[-1] == "ssize_t retval"


def test_a_modules_function_has_the_prototype_of_its_module(catalog12) -> None:
    row = found(catalog12, "fentry:9p:v9fs_drop_inode")
    signature = signature_of(catalog12, row)
    assert signature is not None
    assert signature.prototype == "int v9fs_drop_inode(struct inode * inode)"


@pytest.mark.parametrize(
    ("probe", "has"),
    [
        ("kprobe:vfs_read", True),
        ("kprobe:__die", False),
        ("kprobe:none_such", False),
        ("tracepoint:sched:*", True),
        ("tracepoint:sched:*none*", False),
        ("fentry:vmlinux:do_sys_open*", True),
        ("format:ftrace:function", False),
    ],
)
def test_a_host_has_a_probe_that_nothing_forbids(catalog12, probe: str, has: bool) -> None:
    assert has_probe(catalog12)(probe) is has


def test_every_tenth_row_of_every_kind_can_be_described(catalog11) -> None:
    view = catalog11.view("")
    for place in range(0, len(view), 499):
        row = view.row(place)
        detail = describe(catalog11, row)
        assert detail.probe == row.probe
        assert detail.verdict == catalog11.verdict(row.kind, row.entry)


def test_a_host_without_btf_has_no_prototypes(tmp_path) -> None:
    files = {"proc/kallsyms": kallsyms("T f"), FUNCTIONS: "f\n", event_path("a", "b"): event_format("b", "int c")}
    catalog = made_catalog(tmp_path, files)
    row = found(catalog, "kprobe:f")
    assert describe(catalog, row).signature is None
    assert arguments(catalog, row) == ([], None)
    assert listed_arguments(catalog, row) == []

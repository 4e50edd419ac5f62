"""`tracescope list`, `show` and `symbols`: what they print, in text and as JSON."""

from __future__ import annotations

import json

import pytest
from made_host import BLACKLIST, FUNCTIONS, event_format, event_path, kallsyms, make_host

from tracescope.catalog.topics import load_topics
from tracescope.cli.main import main
from tracescope.sources.kallsyms import parse_kallsyms

LIST_KEYS = ["probe", "kind", "group", "name", "module", "stability", "verdict", "reasons", "sources"]
SHOW_KEYS = [
    *LIST_KEYS, "args", "returns", "id", "fields", "print_fmt", "pair", "registers", "prototype", "exported",
    "alternatives", "topics", "notes",
]  # fmt: skip
SYMBOL_KEYS = ["name", "address", "type", "class", "scope", "module", "exported", "verdict", "reasons"]

SYMBOLS = kallsyms(
    "T vfs_read", "t vfs_read.cold", "d vfs_table", "t fuse_read fuse", "T fuse_open fuse",
    "r __ksymtab_fuse_read fuse", "T register_kprobe",
)  # fmt: skip
FILES = {
    "proc/kallsyms": SYMBOLS,
    FUNCTIONS: "vfs_read\nvfs_read.cold\nfuse_read [fuse]\n",
    BLACKLIST: "0x0-0x0\tfuse_open\n",
    event_path("sched", "sched_switch"): event_format(
        "sched_switch", "char comm[16]", "__data_loc char[] name", "int pid"
    ),
    event_path("ftrace", "function"): event_format("function", "unsigned long ip"),
}


@pytest.fixture
def host(tmp_path) -> str:
    return str(make_host(tmp_path, FILES))


@pytest.fixture
def run(host: str, capsys):
    """Run a command on the made host: status, lines of standard output, standard error."""

    def run(*words: str) -> tuple[int, list[str], str]:
        status = main(["--host", host, *words])
        captured = capsys.readouterr()
        return status, captured.out.splitlines(), captured.err

    return run


def objects(lines: list[str]) -> list[dict]:
    return [json.loads(line) for line in lines]


# list


def test_list_prints_full_names_and_says_how_many_it_left_out(run) -> None:
    status, lines, notes = run("list", "kprobe:vfs_*", "tracepoint:*")
    assert (status, lines) == (0, ["tracepoint:sched:sched_switch", "kprobe:vfs_read"])
    assert "1 more cannot be attached here, or only in part (.cold): --all lists them" in notes


def test_list_all_prints_what_cannot_be_attached_too(run) -> None:
    assert run("list", "--all", "kprobe:vfs_*")[1] == ["kprobe:vfs_read", "kprobe:vfs_read.cold"]
    assert run("list", "-a", "format:*")[1] == ["format:ftrace:function"]


def test_list_v_prints_fields_as_bpftrace_does(run) -> None:
    assert run("list", "-v", "tracepoint:*")[1] == [
        "tracepoint:sched:sched_switch",
        "    char comm[16]",
        "    __data_loc char[] name",
        "    int pid",
    ]


def test_list_takes_bpftraces_short_and_old_kinds(run) -> None:
    assert run("list", "k:vfs_read")[1] == ["kprobe:vfs_read"]
    assert run("list", "-a", "kfunc:fuse:*")[1] == ["fentry:fuse:fuse_open", "fentry:fuse:fuse_read"]


def test_a_pattern_that_matches_nothing_is_done_and_said(run) -> None:
    status, lines, notes = run("list", "tracepoint:none:*")
    assert (status, lines) == (0, [])
    assert "nothing matches" in notes


def test_list_json_has_every_row_with_the_keys_of_the_contract(run) -> None:
    rows = objects(run("list", "--json", "kprobe:*", "format:*")[1])
    assert [list(row) for row in rows] == [LIST_KEYS] * 6
    by_name = {row["probe"]: row for row in rows}
    assert by_name["kprobe:vfs_read"] == {
        "probe": "kprobe:vfs_read", "kind": "kprobe", "group": "", "name": "vfs_read", "module": "",
        "stability": "unstable", "verdict": "yes", "reasons": [], "sources": ["kallsyms", "ftrace"],
    }  # fmt: skip
    assert by_name["kprobe:vfs_read.cold"]["stability"] == "fragile"
    assert by_name["kprobe:fuse_open"]["reasons"] == ["blacklisted", "not-in-ftrace"]
    assert by_name["kprobe:fuse_read"]["module"] == "fuse"
    assert by_name["format:ftrace:function"]["verdict"] == "no"
    assert by_name["format:ftrace:function"]["reasons"] == ["ftrace-group"]
    assert by_name["format:ftrace:function"]["stability"] is None


def test_list_json_v_adds_arguments_and_the_type_returned(run) -> None:
    [row] = objects(run("list", "--json", "-v", "tracepoint:*")[1])
    assert list(row) == [*LIST_KEYS, "args", "returns"]
    assert row["args"] == [
        {"name": "comm", "type": "char[16]"},
        {"name": "name", "type": "__data_loc char[]"},
        {"name": "pid", "type": "int"},
    ]
    assert row["returns"] is None


def test_a_source_that_is_missing_is_said_on_standard_error_only(run) -> None:
    status, lines, notes = run("list", "fentry:vmlinux:vfs_read", "-a")
    assert (status, lines) == (0, ["fentry:vmlinux:vfs_read"])
    assert notes.startswith("tracescope: btf absent: ")


# show


@pytest.mark.parametrize(
    "probe", ["kprobe:vfs_read", "tracepoint:sched:sched_switch", "vfs_table", "format:ftrace:function"]
)
def test_show_json_is_one_object_with_the_keys_of_the_contract(run, probe: str) -> None:
    status, lines, _ = run("show", "--json", probe)
    [row] = objects(lines)
    assert (status, list(row), row["probe"]) == (0, SHOW_KEYS, probe)


def test_show_json_of_a_tracepoint_has_its_fields_in_bytes(run) -> None:
    [row] = objects(run("show", "--json", "tracepoint:sched:sched_switch")[1])
    assert row["id"] == 7
    assert row["fields"][1] == {"name": "name", "type": "__data_loc char[]", "offset": 16, "size": 8, "signed": False}
    assert row["print_fmt"] == '"%d", REC->a'


def test_show_says_the_verdict_the_reason_and_the_fix(run) -> None:
    status, lines, _ = run("show", "kprobe:fuse_open")
    text = "\n".join(lines)
    assert status == 0
    assert lines[0] == "kprobe:fuse_open"
    assert "  verdict: no, stability: unstable" in lines
    assert "    blacklisted: The kernel forbids a kprobe here" in text
    assert "(fix: probe a caller or a callee, or a tracepoint)" in text


def test_show_of_a_symbol_says_its_class_in_words(run) -> None:
    lines = run("show", "vfs_table")[1]
    assert any(line.startswith("  symbol: 0xffffffff81000030 d (data, local): Initialised data") for line in lines)


@pytest.mark.parametrize(
    ("probe", "near"),
    [
        ("kprobe:vfs_raed", "kprobe:vfs_read"),
        ("kretprobe:fuse_opne", "kretprobe:fuse_open"),
        ("tracepoint:sched:sched_swich", "tracepoint:sched:sched_switch"),
        ("tracepoint:sched_switch", "tracepoint:sched:sched_switch"),
        ("fentry:nomod:fuse_read", "fentry:fuse:fuse_read"),
        ("kprobe:vfs_", "kprobe:vfs_read"),
        ("vfs_tabel", "vfs_table"),
    ],
)
def test_a_probe_that_is_not_there_is_refused_with_near_names(run, probe: str, near: str) -> None:
    status, lines, notes = run("show", probe)
    assert (status, lines) == (1, [])
    assert f"there is no probe '{probe}' on this host" in notes
    assert near in notes.partition("did you mean ")[2].strip().split(", ")


@pytest.mark.parametrize("probe", ["", "zzzzqqqq", "kprobe:", "kind:kprobe", "*", "\x1b[31m"])
def test_what_is_near_nothing_gets_advice_how_to_search(run, probe: str) -> None:
    status, lines, notes = run("show", probe)
    assert (status, lines) == (1, [])
    assert "\x1b" not in notes


# symbols


def test_symbols_json_has_a_class_for_every_row_of_kallsyms_in_its_order(run) -> None:
    rows = objects(run("symbols", "--json")[1])
    assert [list(row) for row in rows] == [SYMBOL_KEYS] * 7
    assert [(r["name"], r["type"], r["module"], int(r["address"], 16)) for r in rows] == [
        (s.name, s.type, s.module, s.address) for s in parse_kallsyms(SYMBOLS.encode())
    ]
    assert {row["class"] for row in rows} == {"text", "data", "read-only data"}


def test_symbols_says_that_a_gpl_export_of_a_module_is_exported_though_its_letter_is_small(run) -> None:
    rows = {row["name"]: row for row in objects(run("symbols", "--json", "fuse_*")[1])}
    assert (rows["fuse_read"]["scope"], rows["fuse_read"]["exported"], rows["fuse_read"]["type"]) == (
        "exported",
        True,
        "t",
    )
    assert (rows["fuse_open"]["scope"], rows["fuse_open"]["exported"]) == ("exported", True)


def test_symbols_text_is_kallsyms_with_the_class_behind_it(run) -> None:
    assert run("symbols", "vfs_read", "fuse_read")[1] == [
        "ffffffff81000010 T vfs_read  text, global",
        "ffffffff81000040 t fuse_read [fuse]  text, exported",
    ]


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--type", "d"], ["vfs_table"]),
        (["--type", "dr"], ["vfs_table", "__ksymtab_fuse_read"]),
        (["--type", "T", "vfs*"], ["vfs_read"]),
        (["--type", "Q"], []),
        (["*read", "vfs_t?ble"], ["vfs_read", "vfs_table", "fuse_read", "__ksymtab_fuse_read"]),
    ],
    ids=str,
)
def test_symbols_are_picked_by_letter_and_glob(run, options: list[str], names: list[str]) -> None:
    status, lines, _ = run("symbols", "--json", *options)
    assert (status, [row["name"] for row in objects(lines)]) == (0, names)


def test_symbols_of_a_whole_kernel_are_those_of_kallsyms_each_with_a_class(debian12, capsys) -> None:
    assert main(["--host", debian12.label, "symbols", "--json"]) == 0
    rows = objects(capsys.readouterr().out.splitlines())
    assert [(r["name"], r["type"], r["module"], int(r["address"], 16)) for r in rows] == [
        (s.name, s.type, s.module, s.address) for s in parse_kallsyms(debian12.read("/proc/kallsyms"))
    ]
    assert all(row["class"] and row["scope"] and row["verdict"] for row in rows)
    assert "unknown" not in {row["class"] for row in rows}


# choose


def test_choose_names_probes_of_this_host_only(debian12, capsys) -> None:
    assert main(["--host", debian12.label, "choose", "--json", "short-lived", "processes"]) == 0
    probes = [row["probe"] for row in objects(capsys.readouterr().out.splitlines())]
    assert {"tracepoint:sched:sched_process_exec", "tracepoint:sched:sched_process_exit"} <= set(probes)
    assert "tracepoint:syscalls:sys_enter_execve" in probes


def test_choose_refuses_words_that_name_no_topic(run) -> None:
    status, lines, notes = run("choose", "qqqqzzzz")
    assert (status, lines) == (1, [])
    assert "no topic for 'qqqqzzzz'" in notes


def test_choose_without_words_lists_all_topics(run) -> None:
    topics = load_topics()
    status, lines, _ = run("choose")
    assert (status, len(lines)) == (0, len(topics))
    _, rows, _ = run("choose", "--json")
    assert [row["title"] for row in objects(rows)] == [topic.title for topic in topics]


def test_symbols_says_when_nothing_matches(run) -> None:
    status, lines, notes = run("symbols", "no_such_*")
    assert (status, lines) == (0, [])
    assert "nothing matches" in notes


def test_a_snapshot_lists_no_probes_of_programs(run) -> None:
    status, lines, notes = run("list", "uprobe:libc:*")
    assert (status, lines) == (1, [])
    assert "leave out --host" in notes


def test_a_function_that_cannot_be_attached_is_answered_with_the_tracepoints_that_see_the_same(
    tmp_path, capsys
) -> None:
    files = {
        "proc/kallsyms": kallsyms("T vfs_read", "T vfs_write"),
        event_path("syscalls", "sys_enter_read"): event_format("sys_enter_read", "int __syscall_nr"),
    }
    assert main(["--host", str(make_host(tmp_path, files)), "attach", "kprobe:vfs_read"]) == 1
    said = capsys.readouterr().err
    assert "without kprobes" in said
    assert "take a tracepoint; here perhaps tracepoint:syscalls:sys_enter_read\n" in said


def test_a_bare_name_is_answered_with_the_full_ones(tmp_path, run, capsys) -> None:
    status, lines, notes = run("attach", "sched_switch")
    assert (status, lines) == (1, [])
    assert "sched_switch is no full name" in notes
    assert "fix: tracescope list '*sched_switch*'" in notes
    listed = {**FILES, "sys/kernel/tracing/available_events": "sched:sched_switch\nsched:sched_wakeup\n"}
    assert main(["--host", str(make_host(tmp_path / "other", listed)), "attach", "sched_switch"]) == 1
    assert "did you mean tracepoint:sched:sched_switch; " in capsys.readouterr().err

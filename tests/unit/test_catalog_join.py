"""The join: what each source adds to one row, and what is left when a source is missing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from made_host import (
    BLACKLIST,
    BPFTRACE,
    FUNCTIONS,
    LOCKDOWN,
    PERF,
    event_format,
    event_path,
    kallsyms,
    made_catalog,
)

from tracescope.attach.plan import plan
from tracescope.attach.targets.find import Finder
from tracescope.catalog.listed import sources_of
from tracescope.catalog.store import Catalog
from tracescope.host import LiveHost
from tracescope.model import ProbeKind, Reason, SourceState

SWITCH = event_path("sched", "sched_switch")


@pytest.fixture
def join(tmp_path: Path):
    def make(files: Mapping[str, str | bytes]) -> Catalog:
        return made_catalog(tmp_path, files)

    return make


def probes(catalog: Catalog, query: str = "") -> list[str]:
    return [row.probe for row in catalog.view(query)]


def reasons(catalog: Catalog, probe: str) -> list[str]:
    row = catalog.find(probe)
    assert row is not None
    return [reason.value for reason in catalog.verdict(row.kind, row.entry).reasons]


def sources(catalog: Catalog, probe: str) -> tuple[str, ...]:
    row = catalog.find(probe)
    assert row is not None
    return sources_of(row.kind, catalog.facts[row.entry])


def test_a_host_without_any_source_is_an_empty_catalog_with_a_report_each(join) -> None:
    catalog = join({"proc/version": "Linux"})
    assert probes(catalog) == []
    assert {report.state for report in catalog.knowledge.reports.values()} == {SourceState.ABSENT}
    assert len(catalog.knowledge.reports) == 7
    assert all(report.why for report in catalog.knowledge.reports.values())


def test_a_function_gives_four_probes_and_a_symbol(join) -> None:
    catalog = join({"proc/kallsyms": kallsyms("T vfs_read"), FUNCTIONS: "vfs_read\n"})
    assert probes(catalog) == [
        "fentry:vmlinux:vfs_read", "fexit:vmlinux:vfs_read", "kprobe:vfs_read", "kretprobe:vfs_read", "vfs_read",
    ]  # fmt: skip


def test_data_and_padding_are_symbols_only(join) -> None:
    catalog = join({"proc/kallsyms": kallsyms("d jiffies", "T __pfx_vfs_read", "T _stext")})
    assert probes(catalog) == ["__pfx_vfs_read", "_stext", "jiffies"]
    assert [reasons(catalog, name)[0] for name in probes(catalog)] == ["padding", "not-function", "not-text"]


def test_a_modules_function_bears_its_modules_name(join) -> None:
    rows = kallsyms("t fuse_read fuse", "T vfs_read")
    catalog = join({"proc/kallsyms": rows, FUNCTIONS: "fuse_read [fuse]\nvfs_read [fuse]\n"})
    assert "fentry:fuse:fuse_read" in probes(catalog)
    assert "ftrace" in sources(catalog, "kprobe:fuse_read")
    # The list names the module's vfs_read, not the core kernel's.
    assert "ftrace" not in sources(catalog, "kprobe:vfs_read")


def test_functions_of_one_name_are_one_probe_a_module_and_ambiguous(join) -> None:
    rows = kallsyms("T count_symbols", "T register_kprobe", "t twin", "t twin", "t twin fuse", "t alone")
    catalog = join({"proc/kallsyms": rows, FUNCTIONS: "twin\nalone\ntwin [fuse]\n"})
    assert [(row.probe, row.module) for row in catalog.view("kind:kprobe twin")] == [
        ("kprobe:twin", ""),
        ("kprobe:twin", "fuse"),
    ]
    assert len(catalog.view("kind:symbol twin")) == 3
    for row in catalog.view("kind:kprobe twin"):
        assert Reason.AMBIGUOUS in catalog.verdict(row.kind, row.entry).reasons
    assert "ambiguous" not in reasons(catalog, "kprobe:alone")


def test_data_of_the_same_name_makes_a_function_ambiguous_for_the_kernel_counts_all_symbols(join) -> None:
    rows = kallsyms("T count_symbols", "t watchdog", "d watchdog", "d table", "d table", "t alone")
    catalog = join({"proc/kallsyms": rows, FUNCTIONS: "watchdog\nalone\n"})
    assert "ambiguous" in reasons(catalog, "kprobe:watchdog")
    assert "ambiguous" not in reasons(catalog, "kprobe:alone")
    assert reasons(catalog, "symbol:table") == ["not-text", "no-kprobes"]


@pytest.mark.parametrize(("counts", "answer"), [("T count_symbols", "no"), ("T other", "yes")])
def test_a_kernel_that_does_not_count_symbols_takes_an_ambiguous_name(join, counts: str, answer: str) -> None:
    rows = kallsyms("T register_kprobe", counts, "t twin", "t twin")
    catalog = join({"proc/kallsyms": rows, FUNCTIONS: "twin\n", BLACKLIST: "0x1-0x2\tother_one\n"})
    row = catalog.find("kprobe:twin")
    assert row is not None
    assert catalog.verdict(row.kind, row.entry).answer == answer
    assert reasons(catalog, "kprobe:twin") == ["ambiguous"]


def test_the_blacklist_counts_by_name_and_by_range(join) -> None:
    rows = kallsyms(
        "T __noinstr_text_start", "t inside", "T __noinstr_text_end", "t named", "t free", "T register_kprobe"
    )
    catalog = join({"proc/kallsyms": rows, FUNCTIONS: "inside\nnamed\nfree\n", BLACKLIST: "0x0-0x0\tnamed\n"})
    assert reasons(catalog, "kprobe:inside") == ["blacklisted"]
    assert reasons(catalog, "kprobe:named") == ["blacklisted"]
    assert reasons(catalog, "kprobe:free") == []


def test_what_is_between_the_marks_of_init_is_freed(join) -> None:
    rows = kallsyms("T _sinittext", "t setup", "T _einittext", "t later")
    catalog = join({"proc/kallsyms": rows, FUNCTIONS: "later\n"})
    assert reasons(catalog, "fentry:vmlinux:setup") == ["init"]
    assert "init" not in reasons(catalog, "fentry:vmlinux:later")


def test_without_addresses_no_range_is_guessed(join) -> None:
    rows = "".join(
        f"0000000000000000 T {name}\n" for name in ("_sinittext", "setup", "_einittext", "__noinstr_text_start")
    )
    catalog = join({"proc/kallsyms": rows, FUNCTIONS: "setup\n"})
    assert "init" not in reasons(catalog, "kprobe:setup")
    assert "addresses hidden" in catalog.knowledge.reports["kallsyms"].why


@pytest.mark.parametrize("module", ["bpf", "__builtin__ftrace", "__builtin__kprobes"])
def test_code_that_the_kernel_wrote_at_run_time_is_no_target(join, module: str) -> None:
    catalog = join({"proc/kallsyms": kallsyms(f"t made {module}")})
    assert reasons(catalog, "kprobe:made")[0] == "generated-text"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("f.isra.0", "suffixed"), ("f.constprop.0.isra.1", "suffixed"), ("f.part.3", "suffixed"), ("f.cold", "cold"),
     ("arch_cpu_idle", "dangerous"), ("rcu_read", "dangerous"), ("arch_cpu_idle_enter", None)],
)  # fmt: skip
def test_names_that_warn(join, name: str, reason: str | None) -> None:
    rows = kallsyms(f"t {name}", "T register_kprobe")
    catalog = join({"proc/kallsyms": rows, FUNCTIONS: f"{name}\n", BLACKLIST: "0x0-0x0\tx\n"})
    assert (reason in reasons(catalog, f"kprobe:{name}")) is (reason is not None)


def test_a_list_that_is_absent_leaves_the_answer_open(join) -> None:
    catalog = join({"proc/kallsyms": kallsyms("T vfs_read", "T register_kprobe")})
    row = catalog.find("kprobe:vfs_read")
    assert row is not None
    assert catalog.verdict(row.kind, row.entry).answer == "unknown"
    assert reasons(catalog, "kprobe:vfs_read") == ["ftrace-absent"]


def test_lockdown_is_the_mode_in_brackets(join) -> None:
    files = {"proc/kallsyms": kallsyms("T f", "T register_kprobe"), FUNCTIONS: "f\n", BLACKLIST: "0x0-0x0\tx\n"}
    catalog = join({**files, LOCKDOWN: "none integrity [confidentiality]\n"})
    assert reasons(catalog, "kprobe:f") == ["lockdown"]
    catalog = join({**files, LOCKDOWN: "none [integrity] confidentiality\n"})
    assert reasons(catalog, "kprobe:f") == []


def test_without_kallsyms_the_functions_that_ftrace_lists_are_rows(join) -> None:
    catalog = join({FUNCTIONS: "vfs_read\nfuse_read [fuse]\n"})
    assert probes(catalog, "kind:fentry") == ["fentry:fuse:fuse_read", "fentry:vmlinux:vfs_read"]
    assert sources(catalog, "kprobe:vfs_read") == ("ftrace",)


def test_a_tracepoint_is_joined_with_what_perf_and_bpftrace_list(join) -> None:
    files = {
        SWITCH: event_format("sched_switch", "int a"),
        event_path("sched", "sched_wakeup"): event_format("sched_wakeup", "int a"),
        PERF: "  sched:sched_switch    [Tracepoint event]\n",
        BPFTRACE: "tracepoint:sched:sched_switch\n",
    }
    catalog = join(files)
    assert sources(catalog, "tracepoint:sched:sched_switch") == ("tracefs", "perf", "bpftrace")
    assert sources(catalog, "tracepoint:sched:sched_wakeup") == ("tracefs",)


def test_raw_tracepoints_are_those_with_an_iterator_function(join) -> None:
    rows = kallsyms("T __traceiter_sched_switch", "T __pfx___traceiter_other", "T __traceiter_hidden")
    catalog = join({SWITCH: event_format("sched_switch", "int a"), "proc/kallsyms": rows})
    assert probes(catalog, "kind:rawtracepoint") == ["rawtracepoint:hidden", "rawtracepoint:sched_switch"]
    assert sources(catalog, "rawtracepoint:hidden") == ("kallsyms",)
    assert sources(catalog, "rawtracepoint:sched_switch") == ("tracefs", "kallsyms")


def test_without_kallsyms_every_tracepoint_but_a_syscalls_has_a_raw_twin(join) -> None:
    syscall = event_path("syscalls", "sys_enter_read")
    catalog = join({SWITCH: event_format("sched_switch"), syscall: event_format("sys_enter_read")})
    assert probes(catalog, "kind:rawtracepoint") == ["rawtracepoint:sched_switch"]


def test_perfs_own_events_are_rows_and_its_notations_are_not(join) -> None:
    listing = (
        "  cpu-cycles OR cycles   [Hardware event]\n  cpu-clock   [Software event]\n"
        "  L1-dcache-loads   [Hardware cache event]\n  msr/tsc/   [Kernel PMU event]\n"
        "  duration_time   [Tool event]\n  rNNN   [Raw event descriptor]\n  mem:<addr>   [Hardware breakpoint]\n"
    )
    catalog = join({PERF: listing, BPFTRACE: "software:cpu-clock:\n"})
    assert probes(catalog) == ["software:cpu-clock", "hardware:cpu-cycles", "cache:L1-dcache-loads", "pmu:msr/tsc/"]
    assert sources(catalog, "software:cpu-clock") == ("perf", "bpftrace")


def test_a_probe_that_bpftrace_lists_and_ftrace_does_not_is_marked(join) -> None:
    files = {"proc/kallsyms": kallsyms("T f", "T g"), FUNCTIONS: "g\n", BPFTRACE: "kprobe:f\nkfunc:vmlinux:g\n"}
    catalog = join(files)
    assert "sources-disagree" in reasons(catalog, "kprobe:f")
    assert "sources-disagree" not in reasons(catalog, "kprobe:g")
    assert sources(catalog, "fentry:vmlinux:g") == ("kallsyms", "ftrace", "bpftrace")
    assert sources(catalog, "kprobe:g") == ("kallsyms", "ftrace")


# A whole kernel


def test_every_symbol_is_one_row(catalog12, debian12) -> None:
    rows = debian12.read("/proc/kallsyms").decode().splitlines()
    assert sorted(row.name for row in catalog12.view("kind:symbol")) == sorted(line.split()[2] for line in rows)


def test_rows_of_one_kind_are_sorted_and_found_by_their_full_name(catalog12) -> None:
    for kind in ("tracepoint", "rawtracepoint", "software", "kprobe", "format"):
        rows = list(catalog12.view(f"kind:{kind}"))
        assert [(row.group, row.name) for row in rows if kind in ("tracepoint", "format")] == sorted(
            (row.group, row.name) for row in rows if kind in ("tracepoint", "format")
        )
        for row in rows[::37]:
            found = catalog12.find(row.probe)
            assert found is not None
            assert (found.kind, found.probe) == (row.kind, row.probe)


def test_functions_that_btf_alone_knows_are_inlined(catalog12, debian12) -> None:
    names = {line.split()[2] for line in debian12.read("/proc/kallsyms").decode().splitlines()}
    rows = [row for row in catalog12.view("kind:fentry") if row.name not in names]
    assert len(rows) > 10
    assert {catalog12.verdict(row.kind, row.entry).reasons for row in rows} == {(Reason.INLINED,)}


@pytest.mark.parametrize(
    "probe", ["", ":", "kprobe:", "kprobe", "nothing:x", "fentry:vmlinux:", "tracepoint:sched_switch"]
)
def test_what_is_no_probe_is_not_found(catalog12, probe: str) -> None:
    assert catalog12.find(probe) is None


ALIASES = """
ffffffff81000000 T register_kprobe
ffffffff81000020 t __do_sys_getpid
ffffffff81000020 T __ia32_sys_getpid
ffffffff81000020 T __x64_sys_getpid
ffffffff81000030 T forbidden
ffffffff81000030 T forbidden_too
ffffffff81000040 t alone
ffffffff81000050 d data
ffffffff81000050 d data_too
""".lstrip()


def test_the_names_of_one_function_share_what_the_lists_say_of_one_of_them(join) -> None:
    files = {FUNCTIONS: "__do_sys_getpid\nforbidden\nalone\n", BLACKLIST: "0x0-0x0\tforbidden\n"}
    catalog = join({"proc/kallsyms": ALIASES, **files})
    assert reasons(catalog, "kprobe:__do_sys_getpid") == []
    assert reasons(catalog, "kprobe:__x64_sys_getpid") == ["alias"]
    assert catalog.verdict("kprobe", catalog.find("kprobe:__x64_sys_getpid").entry).answer == "yes"
    assert reasons(catalog, "kprobe:forbidden_too") == ["blacklisted", "alias"]
    assert reasons(catalog, "kprobe:alone") == []
    assert reasons(catalog, "symbol:data_too") == ["not-text"]
    assert "ftrace" not in sources(catalog, "kprobe:__x64_sys_getpid")


def test_without_addresses_nobody_knows_that_two_names_are_one_function(join) -> None:
    hidden = "\n".join("0" * 16 + row[16:] for row in ALIASES.splitlines()) + "\n"
    catalog = join({"proc/kallsyms": hidden, FUNCTIONS: "__do_sys_getpid\n"})
    assert reasons(catalog, "kprobe:__x64_sys_getpid") == ["not-in-ftrace"]


@pytest.mark.parametrize(
    ("pattern", "taken"),
    [
        ("kprobe:__*_sys_getpid", ["__do_sys_getpid"]),
        ("kprobe:__x64_*", ["__x64_sys_getpid"]),
        ("kprobe:__[ix]*_sys_getpid", ["__ia32_sys_getpid"]),
        ("kprobe:*", ["__do_sys_getpid", "alone"]),
    ],
)
def test_a_pattern_takes_each_function_once(join, pattern: str, taken: list[str]) -> None:
    files = {FUNCTIONS: "__do_sys_getpid\nforbidden\nalone\n", BLACKLIST: "0x0-0x0\tforbidden\n"}
    catalog = join({"proc/kallsyms": ALIASES, **files})
    targets = Finder(LiveHost(), catalog).targets([pattern])
    assert [target.probe for target in targets] == [f"kprobe:{name}" for name in taken]


def test_two_names_of_one_function_do_not_share_a_link(join) -> None:
    catalog = join({"proc/kallsyms": ALIASES, FUNCTIONS: "__do_sys_getpid\nalone\n"})
    names = ["__do_sys_getpid", "__x64_sys_getpid", "alone"]
    targets = Finder(LiveHost(), catalog).targets([f"kprobe:{name}" for name in names])
    made = plan(targets, many=(ProbeKind.KPROBE,))
    assert [probe.function for probe in made.probes] == ["many_0", "probe_1", "many_0"]

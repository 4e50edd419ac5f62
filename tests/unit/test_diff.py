"""What differs between two hosts: the recorded ones read again by others, and small ones made up."""

from __future__ import annotations

import json
import struct
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import made_host
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.catalog.build import build
from tracescope.catalog.diff import Change, Diff, Part, diff
from tracescope.catalog.diff_text import diff_lines, field_changes
from tracescope.catalog.functions import SymbolFacts
from tracescope.catalog.gathered import Gathered
from tracescope.catalog.store import Catalog
from tracescope.cli.main import main
from tracescope.host import SnapshotHost
from tracescope.model import (
    Answer,
    EventFormat,
    Field,
    Reason,
    SourceReport,
    SourceState,
    Stability,
    Verdict,
)
from tracescope.sources.btf import Btf
from tracescope.sources.ftrace import parse_filter_functions
from tracescope.sources.kallsyms import parse_kallsyms

HOSTS = Path(__file__).parents[1] / "fixtures" / "hosts"
DEBIAN11, DEBIAN12 = str(HOSTS / "debian11-5.10.zip"), str(HOSTS / "debian12-6.1.zip")
SOURCES = ("tracefs", "kallsyms", "ftrace", "blacklist", "btf", "perf")


def of(found: Diff, part: Part, kind: str) -> list[Change]:
    return [change for change in found.changes if (change.part, change.kind) == (part, kind)]


def names(changes: list[Change]) -> set[str]:
    return {change.probe.partition(":")[2] for change in changes}


@pytest.fixture(scope="module")
def upgrade(catalog11: Catalog, catalog12: Catalog) -> Diff:
    """From Debian 11 to Debian 12."""
    return diff(catalog11, catalog12)


class TestTwoDebians:
    def test_tracepoints_come_and_go_as_available_events_says(self, upgrade, debian11, debian12):
        old, new = (set(h.read(f"{h.tracefs}/available_events").decode().split()) for h in (debian11, debian12))
        assert names(of(upgrade, Part.REMOVED, "tracepoint")) == old - new
        assert names(of(upgrade, Part.ADDED, "tracepoint")) == new - old

    def test_tracepoints_change_as_their_format_files_do(self, upgrade, debian11, debian12):
        def fields(host: SnapshotHost, probe: str) -> list[str]:
            text = host.read(f"{host.tracefs}/events/{probe.replace(':', '/')}/format").decode()
            return [
                line for line in text.splitlines() if "field:" in line and "field:unsigned short common" not in line
            ]

        old, new = (set(h.read(f"{h.tracefs}/available_events").decode().split()) for h in (debian11, debian12))
        differing = {probe for probe in old & new if fields(debian11, probe) != fields(debian12, probe)}
        assert names(of(upgrade, Part.CHANGED, "tracepoint")) == differing

    def test_functions_come_and_go_as_kallsyms_says(self, upgrade, debian11, debian12):
        def functions(host: SnapshotHost) -> set[str]:
            rows = (line.split() for line in host.read("/proc/kallsyms").decode().splitlines())
            return {row[2] for row in rows if row[1] in "tTwW" and len(row) == 3}

        def core(part: Part) -> set[str]:
            return {change.probe.removeprefix("kprobe:") for change in of(upgrade, part, "kprobe") if not change.module}

        old, new = functions(debian11), functions(debian12)
        listed = set(debian12.read(f"{debian12.tracefs}/available_filter_functions").decode().split())
        assert core(Part.REMOVED) <= old - new
        assert core(Part.ADDED) & old == set()
        assert core(Part.ADDED) >= (new - old) & listed - {"[fuse]"} - modular_names(debian12)

    def test_a_function_whose_prototype_changed_shows_both(self, upgrade):
        # 5.12 gave vfs_mkdir the mount's user namespace (commit 6521f8917082).
        change = next(c for c in of(upgrade, Part.CHANGED, "kprobe") if c.probe == "kprobe:vfs_mkdir")
        assert change.before == "int vfs_mkdir(struct inode * dir, struct dentry * dentry, umode_t mode)"
        assert str(change.after).startswith("int vfs_mkdir(struct user_namespace * mnt_userns, struct inode * dir,")

    def test_a_raw_tracepoint_whose_arguments_changed_shows_both(self, upgrade):
        # 5.18 gave sched_switch the previous task's state (commit fa2c3254d7cf).
        change = next(c for c in of(upgrade, Part.CHANGED, "rawtracepoint") if c.probe == "rawtracepoint:sched_switch")
        assert change.before == "bool preempt, struct task_struct * prev, struct task_struct * next"
        assert change.after == f"{change.before}, unsigned int prev_state"

    def test_the_rungs_hold_every_probe_that_could_be_attached(self, upgrade, catalog11):
        totals = Counter()
        for row in upgrade.survival:
            totals[row.kind] += row.total
        for kind, total in totals.items():
            verdicts = (
                catalog11.verdict(row.kind, row.entry) for row in catalog11.view(f"kind:{kind}") if row.kind == kind
            )
            assert total == sum(verdict.answer is not Answer.NO for verdict in verdicts)

    def test_tracepoints_outlive_kprobes_and_those_outlive_copies(self, upgrade):
        unchanged = {(row.kind, row.stability): row.unchanged / row.total for row in upgrade.survival}
        tracepoints = unchanged["tracepoint", Stability.STABLE]
        kprobes = unchanged["kprobe", Stability.UNSTABLE]
        copies = unchanged["kprobe", Stability.FRAGILE]
        assert tracepoints > kprobes > copies
        assert (round(tracepoints, 2), round(kprobes, 2), round(copies, 2)) == (0.86, 0.80, 0.71)

    def test_a_verdict_that_flipped_says_from_what_to_what(self, upgrade):
        flipped = of(upgrade, Part.VERDICT, "kprobe")
        assert flipped
        for change in flipped:
            assert isinstance(change.before, Verdict)
            assert isinstance(change.after, Verdict)
            assert change.before.answer is not change.after.answer

    def test_everything_is_compared(self, upgrade):
        assert upgrade.not_compared == ()

    def test_nothing_differs_from_itself(self, catalog12):
        found = diff(catalog12, catalog12)
        assert found.changes == ()
        assert all(row.unchanged == row.total > 0 for row in found.survival)


def modular_names(host: SnapshotHost) -> set[str]:
    return {line.split()[2] for line in host.read("/proc/kallsyms").decode().splitlines() if line.endswith("]")}


TYPES = {"int": 1, "long": 2}


def btf(prototypes: dict[str, tuple[str, ...]]) -> Btf:
    """The types of a kernel whose functions take ints and longs and return int (Documentation/bpf/btf.rst)."""
    strings, types = b"\0", b""

    def named(name: str) -> int:
        nonlocal strings
        strings += name.encode() + b"\0"
        return len(strings) - len(name) - 1

    for at, name in enumerate(TYPES):
        types += struct.pack("<IIIHBB", named(name), 1 << 24, 4 + 4 * at, 32 + 32 * at, 0, 1)
    for at, (name, arguments) in enumerate(prototypes.items()):
        parameters = (word for place, one in enumerate(arguments) for word in (named(f"a{place}"), TYPES[one]))
        types += struct.pack(f"<III{2 * len(arguments)}I", 0, 13 << 24 | len(arguments), TYPES["int"], *parameters)
        types += struct.pack("<III", named(name), 12 << 24, 3 + 2 * at)
    return Btf.parse(
        struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings
    )


def catalog(
    symbols: Sequence[tuple[str, str, str]] = (("T", "anchor", ""),),
    events: dict[str, tuple[Field, ...]] | None = None,
    listed: list[str] | None = None,
    prototypes: dict[str, tuple[str, ...]] | None = None,
    number: int = 0,
    states: dict[str, SourceState] | None = None,
) -> Catalog:
    """A catalog of (letter, name, module) symbols, events by `group:name`; `number` moves every id and address."""
    text = "".join(
        f"{0xFFFFFFFF81000000 + 4096 * number + 16 * at:016x} {letter} {name}" + (f"\t[{module}]\n" if module else "\n")
        for at, (letter, name, module) in enumerate(symbols)
    )
    table = parse_kallsyms(text.encode())
    found = Gathered(
        symbols=table,
        symbol_facts=SymbolFacts(table),
        formats=[
            EventFormat(*probe.split(":"), id=number + at, fields=fields)
            for at, (probe, fields) in enumerate((events or {}).items())
        ],
        functions=parse_filter_functions("".join(f"{name}\n" for name in listed or ()).encode()),
        btf={"vmlinux": btf(prototypes or {})},
        kprobes=True,
    )
    for source in SOURCES:
        found.reports[source] = SourceReport(source, (states or {}).get(source, SourceState.OK))
    return build(found)


NAMES = st.sampled_from(["vfs_read", "vfs_write", "foo.isra.0", "bar", "do_exit"])
FIELDS = st.lists(
    st.builds(
        Field, st.sampled_from("abc"), st.sampled_from(["int", "long"]), st.integers(8, 9), st.just(4), st.booleans()
    ),
    max_size=3,
    unique_by=lambda field: field.name,
).map(tuple)
CATALOGS = st.builds(
    catalog,
    symbols=st.lists(st.tuples(st.sampled_from("TtDd"), NAMES, st.sampled_from(["", "fuse"])), min_size=1, max_size=7),
    events=st.dictionaries(st.sampled_from(["sched:switch", "sched:wake", "ftrace:print", "net:xmit"]), FIELDS),
    listed=st.lists(NAMES, max_size=4),
    prototypes=st.dictionaries(NAMES, st.lists(st.sampled_from(["int", "long"]), max_size=2).map(tuple)),
    number=st.integers(0, 3),
)
TURNED = {Part.ADDED: Part.REMOVED, Part.REMOVED: Part.ADDED}


class TestAnyTwo:
    @given(CATALOGS)
    def test_a_catalog_does_not_differ_from_itself(self, a):
        assert diff(a, a).changes == ()

    @given(CATALOGS, CATALOGS)
    def test_turned_round_every_change_is_turned_round(self, a, b):
        turned = {
            Change(TURNED.get(c.part, c.part), c.kind, c.probe, c.module, c.after, c.before) for c in diff(a, b).changes
        }
        assert set(diff(b, a).changes) == turned

    @given(CATALOGS, CATALOGS)
    def test_a_probe_comes_or_goes_or_neither_and_every_change_is_one(self, a, b):
        found = diff(a, b).changes
        assert len(found) == len(set(found))
        assert all((c.before == c.after) == (c.part in TURNED) for c in found)
        moved = [(c.kind, c.probe, c.module) for c in found if c.part in TURNED]
        assert len(moved) == len(set(moved))

    @given(CATALOGS, CATALOGS)
    def test_every_change_has_its_lines_and_its_count(self, a, b):
        found = diff(a, b)
        whole = list(diff_lines(found))
        assert sum(line[:3] in ("  -", "  +", "  ~", "  !") for line in whole) == len(found.changes)
        short = list(diff_lines(found, 1))
        counts = [int(line.rpartition(": ")[2]) for line in short if line.startswith(tuple(Part))]
        assert sum(counts) == len(found.changes)


def field(name: str, type_: str = "int", offset: int = 8, size: int = 4, signed: bool = True) -> Field:
    return Field(name, type_, offset, size, signed)


class TestSmall:
    def test_ids_and_addresses_do_not_count(self):
        events = {"sched:switch": (field("a"),)}
        assert diff(catalog(events=events), catalog(events=events, number=5)).changes == ()

    def test_code_that_the_kernel_writes_at_run_time_does_not_count(self):
        b = catalog([("T", "anchor", ""), ("t", "bpf_prog_6deef7357e7b4530", "bpf")])
        assert diff(catalog(), b).changes == ()

    def test_a_function_comes_as_its_kprobe_with_its_module(self):
        b = catalog([("T", "anchor", ""), ("t", "fuse_open", "fuse")])
        assert diff(catalog(), b).changes == (Change(Part.ADDED, "kprobe", "kprobe:fuse_open", "fuse"),)

    def test_a_function_that_moved_to_a_module_went_and_came(self):
        a, b = catalog([("t", "fuse_open", "")]), catalog([("t", "fuse_open", "fuse")])
        assert [(c.part, c.module) for c in diff(a, b).changes] == [(Part.REMOVED, ""), (Part.ADDED, "fuse")]

    def test_data_comes_and_goes_as_a_symbol(self):
        b = catalog([("T", "anchor", ""), ("D", "jiffies", "")])
        assert diff(catalog(), b).changes == (Change(Part.ADDED, "symbol", "jiffies"),)

    def test_a_second_function_of_one_name_is_no_symbol_that_came(self):
        b = catalog([("T", "anchor", ""), ("t", "anchor", "")])
        assert [change.part for change in diff(catalog(), b).changes if change.kind == "symbol"] == []

    def test_a_changed_event_holds_only_the_fields_that_differ(self):
        a = catalog(events={"sched:switch": (field("a"), field("b", offset=12))})
        b = catalog(events={"sched:switch": (field("a"), field("b", "long", offset=16, size=8))})
        assert diff(a, b).changes == (
            Change(
                Part.CHANGED,
                "tracepoint",
                "tracepoint:sched:switch",
                before=(field("b", offset=12),),
                after=(field("b", "long", 16, 8),),
            ),
        )

    def test_what_can_no_longer_be_attached_is_refused_and_flips(self):
        symbols = [("T", "vfs_read", ""), ("T", "vfs_open", ""), ("T", "vfs_stat", "")]
        proto = {"vfs_read": ("int",), "vfs_open": ("int",), "vfs_stat": ("int",)}
        a = catalog(symbols, listed=["vfs_read", "vfs_open", "vfs_stat"], prototypes=proto)
        b = catalog(symbols[:2], listed=["vfs_open"], prototypes={"vfs_read": ("int",), "vfs_open": ("long",)})
        found = diff(a, b)
        kprobes = next(row for row in found.survival if row.kind == "kprobe")
        assert (kprobes.unchanged, kprobes.changed, kprobes.refused, kprobes.gone) == (0, 1, 1, 1)
        assert of(found, Part.VERDICT, "kprobe") == [
            Change(
                Part.VERDICT,
                "kprobe",
                "kprobe:vfs_read",
                before=Verdict(Answer.YES),
                after=Verdict(Answer.NO, (Reason.NOTRACE,)),
            )
        ]
        assert "verdict kprobe yes → no (notrace): 1" in list(diff_lines(found))

    @pytest.mark.parametrize("state", [SourceState.ABSENT, SourceState.FORBIDDEN, SourceState.DAMAGED])
    @pytest.mark.parametrize(
        ("source", "kinds"),
        [
            ("tracefs", {"tracepoint", "format"}),
            ("kallsyms", {"kprobe", "rawtracepoint", "symbol"}),
            ("btf", {"fentry"}),
        ],
    )
    def test_a_kind_without_its_source_is_named_and_not_gone(self, source, kinds, state):
        a = catalog([("T", "vfs_read", ""), ("D", "data", "")], events={"sched:switch": ()})
        b = catalog(states={source: state})
        found = diff(a, b)
        assert {kind for kind, _ in found.not_compared} == kinds
        assert found.not_compared[0][1] == f"{source} is ok before, {state.value} after"
        assert not {change.kind for change in found.changes} & kinds

    def test_a_field_that_changed_says_how(self):
        before = (field("a"), field("b", offset=12), field("gone", "char", 16, 1, False))
        after = (field("a", "long", 16, 8), field("b", offset=12, signed=False), field("new", "u8"))
        assert list(field_changes(before, after)) == [
            "removed char gone",
            "a: retyped int → long, resized 4 → 8, moved 8 → 16",
            "b: now unsigned",
            "added u8 new",
        ]

    def test_a_text_shows_so_many_examples_and_says_how_many_more(self):
        b = catalog([("T", "anchor", ""), *(("T", f"new_{at}", "") for at in range(9))])
        lines = list(diff_lines(diff(catalog(), b), 4))
        assert lines[-6:] == ["added kprobe: 9", *(f"  + kprobe:new_{at}" for at in range(4)), "  … and 5 more"]


class TestCommand:
    def test_json_is_one_object_a_change_and_the_summary(self, upgrade, capsys):
        assert main(["diff", DEBIAN11, DEBIAN12, "--json"]) == 0
        *changes, last = map(json.loads, capsys.readouterr().out.splitlines())
        assert Counter((c["change"], c["kind"]) for c in changes) == Counter((c.part, c.kind) for c in upgrade.changes)
        assert last["summary"]["counts"]["removed"]["tracepoint"] == len(of(upgrade, Part.REMOVED, "tracepoint"))
        assert [row["total"] for row in last["summary"]["survival"]] == [row.total for row in upgrade.survival]
        flip = next(c for c in changes if c["change"] == "verdict")
        assert flip["before"]["verdict"] != flip["after"]["verdict"]

    def test_the_table_comes_first_and_a_pattern_picks_changes(self, upgrade, capsys):
        assert main(["diff", DEBIAN11, DEBIAN12, "t:block:*", "--all"]) == 0
        head, first, *lines = capsys.readouterr().out.splitlines()
        assert head.split()[-5:] == ["count", "unchanged", "changed", "refused", "gone"]
        assert first.startswith("tracepoint (stable)")
        printed = [line.split()[-1] for line in lines if line[:4] in ("  - ", "  + ", "  ~ ")]
        assert printed == [c.probe for c in upgrade.changes if c.probe.startswith("tracepoint:block:")]
        assert printed

    def test_hostile_names_are_printed_escaped(self, tmp_path, capsys):
        files = {made_host.event_path("sched", "sched_switch"): made_host.event_format("sched_switch", "int a")}
        old = made_host.make_host(tmp_path / "a", files)
        new = made_host.make_host(
            tmp_path / "b",
            {**files, made_host.event_path("sched", "\x1b[31m"): made_host.event_format("\x1b[31m", "int a")},
        )
        assert main(["diff", str(old), str(new)]) == 0
        out, err = capsys.readouterr()
        assert r"  + tracepoint:sched:\x1b[31m" in out
        assert "\x1b" not in out + err

    def test_two_hosts_and_no_third(self, capsys):
        assert main(["--host", DEBIAN12, "diff", DEBIAN11, DEBIAN12]) == 2

    def test_a_host_that_is_not_there_is_a_refusal(self, tmp_path, capsys):
        assert main(["diff", DEBIAN11, str(tmp_path / "no.zip")]) == 1
        assert "no.zip is not there" in capsys.readouterr().err

    def test_a_host_that_shows_nothing_is_a_refusal(self, tmp_path, capsys):
        assert main(["diff", str(made_host.make_host(tmp_path, {"proc/version": "x"})), DEBIAN12]) == 1
        assert "nothing to read" in capsys.readouterr().err

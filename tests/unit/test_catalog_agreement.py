"""The catalog against what bpftrace and perf listed on the same hosts.

Every difference is explained by exactly one named rule, and no rule is idle. The rules look at the host's files, not at
the catalog's facts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import pytest

from tracescope.catalog.patterns import matching
from tracescope.catalog.store import Catalog
from tracescope.cli.main import main
from tracescope.host import Host
from tracescope.model import Answer, Reason
from tracescope.sources.btf_types import THROUGH_NAMES, Kind

NAMES = ("debian11-5.10", "debian12-6.1")


@dataclass
class Recorded:
    """One recorded host: its catalog, and its files read anew."""

    name: str
    host: Host
    catalog: Catalog

    def lines(self, path: str) -> list[list[str]]:
        return [line.split() for line in self.host.read(path).decode().splitlines()]

    def rows(self, kind: str, *answers: Answer) -> set[str]:
        rows = matching(self.catalog, [f"{kind}:*"])
        return {row.probe for row in rows if self.catalog.verdict(row.kind, row.entry).answer in answers}

    @cached_property
    def listed(self) -> list[str]:
        """bpftrace's probes, in today's spelling; a search that it echoes is none."""
        text = self.host.run("bpftrace", "-l").decode()
        text = re.sub(r"^kfunc:(?=[^:\n]+$)", "kfunc:vmlinux:", text, flags=re.MULTILINE)
        return [line.replace("kfunc:", "fentry:").rstrip(":") for line in text.splitlines() if "*" not in line]

    @cached_property
    def traceable(self) -> set[str]:
        return {words[0] for words in self.lines("/sys/kernel/tracing/available_filter_functions")}

    @cached_property
    def same_code(self) -> set[str]:
        """Names of an address that ftrace lists by another name."""
        rows = [(words[0], words[2]) for words in self.lines("/proc/kallsyms") if words[1] in "tTwW"]
        places = {address for address, name in rows if name in self.traceable}
        return {name for address, name in rows if address in places} - self.traceable

    @cached_property
    def blacklisted(self) -> set[str]:
        return {words[1] for words in self.lines("/sys/kernel/debug/kprobes/blacklist")}

    @cached_property
    def symbols(self) -> Counter[str]:
        return Counter(words[2] for words in self.lines("/proc/kallsyms"))

    @cached_property
    def init(self) -> set[str]:
        rows = [(int(words[0], 16), words[2]) for words in self.lines("/proc/kallsyms")]
        marks = {name: address for address, name in rows if name in ("__init_begin", "__init_end")}
        return {name for address, name in rows if marks["__init_begin"] <= address < marks["__init_end"]}

    @cached_property
    def prototypes(self) -> dict[str, list[Prototype]]:
        """Of each of the core kernel's and modules' functions."""
        found: dict[str, list[Prototype]] = {}
        for table in self.catalog.knowledge.btf.values():
            for function in map(table.row, table.ids(Kind.FUNC)):
                types = [type_id for _, type_id in table.parameters_of(table.row(function.value))]
                variadic = len(types) > 1 and types[-1] == 0
                sizes, second = dict.fromkeys(_VALUES, 0), 0
                for type_id in types:
                    row = table.row(table.strip(type_id, THROUGH_NAMES))
                    if row.kind in sizes:
                        sizes[row.kind] = max(sizes[row.kind], row.value)
                        second += row.value > 8
                result = table.row(table.strip(table.row(function.value).value, THROUGH_NAMES)).kind
                proto = Prototype(len(types) - variadic, variadic, second, *sizes.values(), result in _VALUES)
                found.setdefault(function.name, []).append(proto)
        return found


_VALUES = (Kind.STRUCT, Kind.UNION)


class Prototype(NamedTuple):
    """Parameters, whether `...` follows, how many are longer than a register, the largest structure and union, and is
    one returned."""

    count: int
    variadic: bool
    long: int
    structure: int
    union: int
    returns: bool


class Rule(NamedTuple):
    """Why the two lists differ in a name."""

    why: str
    holds: Callable[[Recorded, str], bool]


BLACKLISTED = Rule("bpftrace does not look at the kprobe blacklist", lambda host, name: name in host.blacklisted)
INVALID = Rule(
    "bpftrace 0.17 lists ftrace's records of freed init functions",
    lambda host, name: name.startswith("__ftrace_invalid_address__"),
)
SHARED = Rule(
    "this kernel refuses a name of several symbols (count_symbols of trace_kprobe.c), bpftrace 0.17 does not know",
    lambda host, name: host.symbols[name] > 1 and "count_symbols" in host.symbols,
)
PART = Rule(
    "bpftrace 0.17 skips `.part.` (probe_matcher.cpp: they can't be traced); ftrace lists them and kprobes take them",
    lambda host, name: ".part." in name and name in host.traceable,
)
COPY = Rule(
    "bpftrace asks ftrace for the whole name, the kernel for the name without its suffix as well",
    lambda host, name: (
        "." in name and ".cold" not in name and name not in host.traceable and name.partition(".")[0] in host.traceable
    ),
)
OTHER_NAME = Rule(
    "a second name of a function: ftrace lists each address once, the kernel asks by address",
    lambda host, name: name in host.same_code and not COPY.holds(host, name),
)
FREED = Rule("bpftrace 0.11 lists all of BTF: init functions are freed", lambda host, name: name in host.init)
NOTRACE = Rule(
    "bpftrace 0.11 lists all of BTF: not in ftrace's list",
    lambda host, name: name not in host.init and name not in host.traceable,
)


def prototype_rule(why: str, test: Callable[[list[Prototype]], bool]) -> Rule:
    return Rule(why, lambda host, name: name in host.traceable and test(host.prototypes[name]))


def passes(found: list[Prototype], most: int) -> bool:
    """Something by value that the kernel does not take: a structure over `most` bytes, a union, or either returned."""
    return any(proto.structure > most or proto.union or proto.returns for proto in found)


VARIADIC = prototype_rule(
    "the kernel refuses fentry on variadic functions (btf_distill_func_proto)", lambda found: found[0].variadic
)
LONG = prototype_rule(
    "bpftrace 0.11 lists functions of more than six arguments: this kernel's trampoline takes six",
    lambda found: len(found) == 1 and found[0].count > 6 and not found[0].variadic and not passes(found, 0),
)
LONG_AND_SHORT = prototype_rule(
    "several functions of this name, the first of more than six arguments: bpftrace takes any of them",
    lambda found: len(found) > 1 and found[0].count > 6 and any(proto.count <= 6 for proto in found),
)
WIDE = prototype_rule(
    "six arguments or less, but more than six registers with structures of two: bpftrace counts arguments",
    lambda found: found[0].count <= 6 < found[0].count + found[0].long and not passes(found, 16),
)
BY_VALUE = prototype_rule(
    "a structure is passed by value: refused by this kernel (btf.c __get_type_size), bpftrace 0.11 does not look",
    lambda found: passes(found, 0) and not found[0].variadic,
)
LARGE = prototype_rule(
    "a structure is returned, or a union or more than 16 bytes passed: refused by this kernel, bpftrace does not look",
    lambda found: passes(found, 16),
)

KPROBES = {
    "debian11-5.10": ([COPY, OTHER_NAME], [BLACKLISTED]),
    "debian12-6.1": ([PART, COPY, OTHER_NAME], [BLACKLISTED, INVALID, SHARED]),
}
FENTRIES = {
    "debian11-5.10": ([], [FREED, NOTRACE, VARIADIC, LONG, BY_VALUE]),
    "debian12-6.1": ([OTHER_NAME], [VARIADIC, LONG_AND_SHORT, WIDE, LARGE]),
}
"""For each host: the rules for what only the catalog has, and for what only bpftrace has."""


@pytest.fixture(scope="module")
def recorded(debian11, debian12, catalog11, catalog12) -> dict[str, Recorded]:
    parts = (debian11, catalog11), (debian12, catalog12)
    return {name: Recorded(name, *part) for name, part in zip(NAMES, parts, strict=True)}


def explain_all(host: Recorded, probes: Iterable[str], rules: list[Rule]) -> None:
    """Each probe by exactly one rule, each rule used."""
    used: Counter[str] = Counter()
    unexplained = []
    for probe in probes:
        why = [rule.why for rule in rules if rule.holds(host, probe.rpartition(":")[2])]
        if len(why) != 1:
            unexplained.append((probe, why))
        used.update(why)
    assert unexplained == []
    assert set(used) == {rule.why for rule in rules}


@pytest.mark.parametrize(("kind", "rules"), [("kprobe", KPROBES), ("fentry", FENTRIES)])
@pytest.mark.parametrize("name", NAMES)
def test_functions_that_can_be_attached_are_those_that_bpftrace_lists(recorded, name: str, kind: str, rules) -> None:
    host = recorded[name]
    ours = host.rows(kind, Answer.YES)
    theirs = {probe for probe in host.listed if probe.startswith(f"{kind}:")}
    assert len(ours & theirs) > 31_900
    only_ours, only_theirs = rules[name]
    explain_all(host, ours - theirs, only_ours)
    explain_all(host, theirs - ours, only_theirs)


@pytest.mark.parametrize("name", NAMES)
def test_what_bpftrace_lists_and_the_catalog_refuses_is_a_row_with_a_reason(recorded, name: str) -> None:
    host = recorded[name]
    refused = {probe for probe in host.listed if probe.startswith(("kprobe:", "fentry:"))}
    refused -= host.rows("kprobe", Answer.YES) | host.rows("fentry", Answer.YES)
    without = set()
    for probe in refused:
        row = host.catalog.find(probe)
        if row is None or not host.catalog.verdict(row.kind, row.entry).reasons:
            without.add(probe.rpartition(":")[2])
    assert {probe for probe in without if not INVALID.holds(host, probe)} == set()


@pytest.mark.parametrize("name", NAMES)
def test_tracepoints_are_those_that_bpftrace_lists(recorded, name: str) -> None:
    """bpftrace 0.11 takes the formats of the `ftrace` group for tracepoints."""
    host = recorded[name]
    theirs = {probe for probe in host.listed if probe.startswith("tracepoint:")}
    assert theirs - host.rows("tracepoint", Answer.YES) == {p for p in theirs if p.startswith("tracepoint:ftrace:")}
    assert host.rows("tracepoint", Answer.YES) <= theirs
    events = {f"tracepoint:{words[0]}" for words in host.lines("/sys/kernel/tracing/available_events")}
    assert host.rows("tracepoint", Answer.YES) == events


@pytest.mark.parametrize("name", NAMES)
def test_formats_of_the_ftrace_group_are_no_tracepoints(recorded, name: str) -> None:
    host = recorded[name]
    formats = set(host.host.names("/sys/kernel/tracing/events/ftrace")) - {"enable", "filter"}
    assert host.rows("format", Answer.NO) == {f"format:ftrace:{name}" for name in formats}
    reasons = {host.catalog.verdict(row.kind, row.entry).reasons for row in host.catalog.view("kind:format")}
    assert reasons == {(Reason.FTRACE_GROUP,)}


# What perf lists

PERF_ROW = re.compile(r"  (\S+)(?: OR (\S+))? +\[(.+)\]")
PERF_KINDS = {"Software event": "software", "Hardware event": "hardware", "Hardware cache event": "cache"}
NO_PROBE = {
    "Tool event": "counted by perf itself, not by the kernel",
    "Raw hardware event descriptor": "a notation for any event, not one",
    "Hardware breakpoint": "a notation for an address, not an event",
}


@pytest.mark.parametrize("name", NAMES)
def test_every_event_of_perf_list_is_a_row_or_no_probe(recorded, name: str) -> None:
    host = recorded[name]
    rows = [row for line in host.host.run("perf", "list").decode().splitlines() if (row := PERF_ROW.fullmatch(line))]
    kinds = {"Tracepoint event": "tracepoint", "Kernel PMU event": "pmu", **PERF_KINDS}
    missing = [row for row in rows if row[3] in kinds and not host.catalog.find(f"{kinds[row[3]]}:{row[1]}")]
    # perf opens these two without a tracepoint behind them (kernel/trace/trace_event_perf.c): they are formats.
    assert {row[1] for row in missing} == {"ftrace:function", "ftrace:print"}
    assert all(host.catalog.find(f"format:{row[1]}") for row in missing)
    assert {row[3] for row in rows} - kinds.keys() == NO_PROBE.keys()
    assert len(rows) > 1300


# Signatures, as the command line prints them


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """Probe and argument lines of a `-lv` listing."""
    for head, body in re.findall(r"^(\S+)\n((?: .*\n)*)", text, re.MULTILINE):
        yield head, [re.sub(r"___\d+\b|\s", "", line).rstrip(";") for line in body.splitlines()]


DOUBLED = "bpftrace 0.17 appends the arguments of all functions of a name"


@pytest.mark.parametrize(("name", "quirks"), [("debian11-5.10", set()), ("debian12-6.1", {DOUBLED})])
def test_list_v_prints_the_signatures_that_bpftrace_prints(recorded, capsys, name: str, quirks: set[str]) -> None:
    """Spaces, a final `;` (0.11) and the `___2` of libbpf's dumper aside."""
    host = recorded[name]
    assert main(["--host", host.host.label, "list", "--all", "-v", "fentry:*"]) == 0
    ours = dict(blocks(capsys.readouterr().out))
    text = host.host.run("bpftrace", "-lv").decode()
    seen, wrong, used = 0, [], set()
    for head, arguments in blocks(text):
        kind, _, function = head.partition(":")
        if kind != "kfunc":
            continue
        seen += 1
        mine = ours.get(f"fentry:{function if ':' in function else f'vmlinux:{function}'}")
        if mine == arguments:
            continue
        several = len(host.prototypes[function.rpartition(":")[2]]) > 1
        if mine is not None and several and arguments[: len(mine)] == mine:
            used.add(DOUBLED)
        else:
            wrong.append((head, mine, arguments))
    assert wrong == []
    assert used == quirks
    assert seen == sum(probe.startswith("fentry:") for probe in host.listed)


@pytest.mark.parametrize("name", NAMES)
def test_list_v_prints_the_fields_that_bpftrace_prints(recorded, capsys, name: str) -> None:
    host = recorded[name]
    assert main(["--host", host.host.label, "list", "-v", "tracepoint:*"]) == 0
    ours = dict(blocks(capsys.readouterr().out))
    text = host.host.run("bpftrace", "-lv").decode()
    theirs = {head: fields for head, fields in blocks(text) if head.startswith("tracepoint:")}
    events = {head: fields for head, fields in theirs.items() if not head.startswith("tracepoint:ftrace:")}
    assert ours == events
    assert len(ours) > 1300

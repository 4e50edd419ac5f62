"""kallsyms, nm and tracefs against this kernel, read again by others: wc, awk, nm, readelf, bpftrace, a C compiler."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tracescope.host import LiveHost
from tracescope.model import EventFormat
from tracescope.sources import kallsyms
from tracescope.sources.nm import classify
from tracescope.sources.print_fmt import flag_tables, split_print_fmt
from tracescope.sources.tracefs import Formats, read_available_events, read_formats


@pytest.fixture(scope="module")
def symbols() -> kallsyms.SymbolTable:
    return kallsyms.read(LiveHost())


@pytest.fixture(scope="module")
def formats() -> Formats:
    return read_formats(LiveHost())


def output(*command: str, cwd: Path | None = None) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=cwd).stdout


def without_spaces(text: str) -> str:
    return "".join(text.split())


def test_every_line_of_kallsyms_is_a_row(symbols: kallsyms.SymbolTable):
    assert len(symbols) == int(output("wc", "-l", "/proc/kallsyms").split()[0])
    assert symbols.skipped == 0


def test_rows_are_those_that_awk_reads(symbols: kallsyms.SymbolTable):
    theirs = output("awk", "{ print $1, $2, $3, substr($4, 2, length($4) - 2) }", "/proc/kallsyms").splitlines()
    assert [f"{s.address:016x} {s.type} {s.name} {s.module}" for s in symbols] == theirs


def test_every_row_has_a_known_class(symbols: kallsyms.SymbolTable):
    assert not {(s.type, s.module) for s in symbols if classify(s.type, s.module).name == "unknown"}


def test_every_event_has_the_fields_that_bpftrace_prints(formats: Formats, require):
    require(shutil.which("bpftrace") is not None, "no bpftrace")
    theirs: dict[str, list[str]] = {}
    probe = ""
    for line in output("bpftrace", "-lv", "tracepoint:*").splitlines():
        if line.startswith(" "):
            theirs[probe].append(without_spaces(line).rstrip(";"))
        else:
            probe = line
            theirs[probe] = []
    ours = {event.probe: [without_spaces(f.declaration) for f in event.fields] for event in formats.formats}
    assert theirs
    assert {probe: ours.get(probe) for probe in theirs} == theirs


def test_formats_and_available_events_are_the_same_events(formats: Formats, live_host: LiveHost):
    assert formats.skipped == []
    found = {f"{event.group}:{event.name}" for event in formats.formats if event.group != "ftrace"}
    assert found == {event for event in read_available_events(live_host) if not event.startswith("ftrace:")}


def test_ids_are_those_of_the_id_files(formats: Formats, live_host: LiveHost):
    root = Path(live_host.tracefs, "events")
    ids = {event.probe: event.id for event in formats.formats if event.group != "ftrace"}
    theirs = {f"tracepoint:{p.parent.parent.name}:{p.parent.name}": int(p.read_text()) for p in root.glob("*/*/id")}
    assert ids.items() <= theirs.items()
    assert len(set(ids.values())) == len(ids)


ASSEMBLY = """
    .text
    .globl g_text
g_text: nop
l_text: nop
    .weak w_text
    .type w_text, %function
w_text: nop
    .weak w_object
    .type i_text, %gnu_indirect_function
i_text: nop
    .data
    .globl g_data
g_data: .long 1
l_data: .long 1
    .type w_object, %object
w_object: .long 1
    .type u_data, %gnu_unique_object
u_data: .long 1
    .bss
    .globl g_bss
g_bss: .long 0
l_bss: .long 0
    .section .rodata
    .globl g_rodata
g_rodata: .long 1
l_rodata: .long 1
    .section .note.x, "", %progbits
l_note: .long 1
    .section .debug_x, "", %progbits
l_debug: .long 1
    .comm common, 4
    .globl g_abs
g_abs = 42
l_abs = 43
    .weak u_weak
    .data
    .quad undefined, u_weak
"""
SECTIONS = {
    ".text": {"text", "weak", "indirect function"},
    ".data": {"data", "weak object", "unique"},
    ".bss": {"bss"},
    ".rodata": {"read-only data"},
    ".note.x": {"read-only section"},
    ".debug_x": {"debug"},
    "COM": {"common"},
    "ABS": {"absolute"},
    "UND": {"undefined", "weak"},
}
SCOPES = {"GLOBAL": {"global", "unknown"}, "LOCAL": {"local", "unknown"}, "WEAK": {"weak"}, "UNIQUE": {"unique"}}


@pytest.fixture(scope="module")
def letters(tmp_path_factory: pytest.TempPathFactory, require) -> dict[str, tuple[str, str, str]]:
    """Symbol → its letter (nm), section and binding (readelf)."""
    require(all(map(shutil.which, ("as", "nm", "readelf"))), "no binutils")
    folder = tmp_path_factory.mktemp("nm")
    (folder / "x.s").write_text(ASSEMBLY)
    output("as", "x.s", "-o", "x.o", cwd=folder)
    names = re.findall(r"(\S) (\S+)$", output("nm", "x.o", cwd=folder), re.MULTILINE)
    sections = dict(re.findall(r"\[ *(\d+)\] (\S+)", output("readelf", "-SW", "x.o", cwd=folder)))
    rows = [line.split() for line in output("readelf", "-sW", "x.o", cwd=folder).splitlines()]
    elf = {row[7]: (sections.get(row[6], row[6]), row[4]) for row in rows if len(row) == 8 and row[0].endswith(":")}
    return {name: (letter, *elf[name]) for letter, name in names}


def test_the_class_is_that_of_the_section_and_the_scope_that_of_the_binding(letters: dict[str, tuple[str, str, str]]):
    assert len(letters) == 19
    for name, (letter, section, binding) in letters.items():
        found = classify(letter)
        assert found.name in SECTIONS[section], name
        assert found.scope in SCOPES[binding], name
    assert {letter for letter, _, _ in letters.values()} == set("TtWVDduBbRrnNCAaUwi")


PROGRAM = """
#include <stdio.h>
struct entry { unsigned long value; const char *name; };
static void show(int event, const char *over, const struct entry *entry)
{
    for (; entry->name; entry++)
        printf("%d\\t%s\\t%lu\\t%s\\n", event, over, entry->value, entry->name);
}
#define __print_symbolic(over, ...) show(EVENT, #over, (struct entry[]){ __VA_ARGS__, { 0, 0 } })
#define __print_flags(over, delimiter, ...) __print_symbolic(over, __VA_ARGS__)
#define __print_symbolic_u64 __print_symbolic
#define __print_flags_u64 __print_flags
"""


TYPES = re.compile(r"unsigned|signed|long|int|char|void|\w+_t|[us](?:8|16|32|64)")


def words(c_text: str) -> set[str]:
    return set(re.findall(r"\b[A-Za-z_]\w*", re.sub(r'"(?:[^"\\]|\\.)*"', "", c_text)))


def tables_for_c(event: EventFormat) -> list[str]:
    """The arguments that are one whole table over a field, and whose values need no kernel header."""
    found = [
        text
        for text in split_print_fmt(event.print_fmt)[1]
        if re.fullmatch(r"__print_(symbolic|flags).*REC->.*\)", text, re.DOTALL)
    ]
    return [text for text in found if all(map(TYPES.fullmatch, words(text.partition(",")[2])))]


def test_table_values_are_those_that_a_c_compiler_computes(formats: Formats, tmp_path: Path, require):
    require(shutil.which("gcc") is not None, "no gcc")
    tables = [(number, text) for number, event in enumerate(formats.formats) for text in tables_for_c(event)]
    types = {word for _, text in tables for word in words(text) if re.fullmatch(r"\w+_t|[us]\d+", word)} - {"size_t"}
    width = {"8": "char", "16": "short", "64": "long"}
    typedefs = [f"typedef unsigned {width.get(re.sub(r'[^0-9]', '', name), 'int')} {name};" for name in types]
    body = [f"#undef EVENT\n#define EVENT {number}\n{text};" for number, text in tables]
    (tmp_path / "t.c").write_text(PROGRAM + "\n".join(typedefs) + "\nint main(void)\n{\n" + "\n".join(body) + "\n}\n")
    output("gcc", "-w", "-O0", "t.c", "-o", "t", cwd=tmp_path)
    theirs: Counter[tuple[int, str, int, str]] = Counter()
    for line in output(str(tmp_path / "t")).splitlines():
        number, over, value, name = line.split("\t")
        theirs[int(number), without_spaces(over), int(value), name] += 1
    ours = Counter(
        (number, without_spaces(table.expression), value % 2**64, name)
        for number, event in enumerate(formats.formats)
        for table in flag_tables(event.print_fmt)
        for value, name in table.names
    )
    assert len(theirs) > 1000
    assert not theirs - ours

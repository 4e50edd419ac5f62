"""The running kernel's BTF against two independent readings: bpftool's, and a C compiler's of what we print."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tracescope.host import LiveHost
from tracescope.sources import btf
from tracescope.sources.btf import Btf
from tracescope.sources.btf_c import definition
from tracescope.sources.btf_types import THROUGH_NAMES, Kind

VMLINUX = "/sys/kernel/btf/vmlinux"
STRUCTS = (Kind.STRUCT, Kind.UNION)
ENUMS = (Kind.ENUM, Kind.ENUM64)
Types = dict[int, dict[str, Any]]


@pytest.fixture(scope="module")
def table(require: Callable[[bool, str], None]) -> Btf:
    require(Path(VMLINUX).exists(), "the kernel has no BTF")
    return btf.read(LiveHost())


@pytest.fixture(scope="module")
def types(table: Btf, require: Callable[[bool, str], None]) -> Types:
    """bpftool's reading, by type id."""
    require(shutil.which("bpftool") is not None, "bpftool is not installed")
    dump = subprocess.run(["bpftool", "btf", "dump", "-j", "file", VMLINUX], check=True, capture_output=True)
    found = {row["id"]: row for row in json.loads(dump.stdout)["types"]}
    assert len(found) == len(table)
    return found


def plain(name: str) -> str:
    return "" if name == "(anon)" else name


def test_every_type_is_what_bpftool_says(table: Btf, types: Types) -> None:
    for type_id, theirs in types.items():
        row = table.row(type_id)
        assert (row.kind.name, row.name) == (theirs["kind"], plain(theirs["name"]))
        if "size" in theirs or ("type_id" in theirs and row.kind is not Kind.ARRAY):
            assert row.value == theirs.get("size", theirs.get("type_id"))


def test_every_struct_has_the_size_and_members_that_bpftool_says(table: Btf, types: Types) -> None:
    count = 0
    for type_id in table.ids(*STRUCTS):
        layout = table.resolve(type_id)
        assert layout is not None
        ours = [(m.name, m.type_id, m.offset, m.bitfield_size) for m in layout.members]
        theirs = [
            (plain(m["name"]), m["type_id"], m["bits_offset"], m.get("bitfield_size", 0))
            for m in types[type_id]["members"]
        ]
        assert (layout.size, ours) == (types[type_id]["size"], theirs), layout.name
        count += len(ours)
    assert count > 10_000


def test_every_function_has_the_parameters_that_bpftool_says(table: Btf, types: Types) -> None:
    functions = [row for row in types.values() if row["kind"] == "FUNC"]
    assert {row["name"] for row in functions} == set(table.functions())
    seen: set[str] = set()
    for row in functions:
        if row["name"] in seen:
            continue
        seen.add(row["name"])
        proto = types[row["type_id"]]
        theirs = [(plain(p["name"]), p["type_id"]) for p in proto["params"] if p["type_id"]]
        assert [(name, type_id) for name, _, type_id in table.parameters(row["name"])] == theirs, row["name"]
        signature = table.function(row["name"])
        assert signature is not None
        assert signature.returns == table.c_declaration(proto["ret_type_id"])
        assert signature.variadic == (len(proto["params"]) > 1 and not proto["params"][-1]["type_id"])


def test_every_enum_has_the_values_that_bpftool_says(table: Btf, types: Types) -> None:
    count = 0
    for type_id in table.ids(*ENUMS):
        # bpftool 7.1 extends the sign of unsigned 32-bit values in its JSON.
        extended = types[type_id]["encoding"] == "UNSIGNED" and types[type_id]["kind"] == "ENUM"
        theirs = [(v["name"], v["val"] & 0xFFFFFFFF if extended else v["val"]) for v in types[type_id]["values"]]
        assert list(table.enumerators(table.row(type_id))) == theirs
        count += len(theirs)
    assert count > 1_000


def through_anonymous(types: Types, type_id: int, start: int = 0) -> Iterator[tuple[str, int]]:
    """Every named member that is no bitfield, with its offset in bits, by bpftool's reading."""
    row = types[type_id]
    while row["kind"] in {kind.name for kind in THROUGH_NAMES}:
        row = types[row["type_id"]]
    for member in row.get("members", ()):
        if plain(member["name"]) and not member.get("bitfield_size"):
            yield member["name"], start + member["bits_offset"]
        elif not plain(member["name"]):
            yield from through_anonymous(types, member["type_id"], start + member["bits_offset"])


def test_member_offsets_follow_anonymous_structs(table: Btf, types: Types) -> None:
    names = ("task_struct", "mm_struct", "sk_buff", "sock", "page", "bio", "request", "inode", "linux_binprm", "cred")
    for name in names:
        type_id = table.names(Kind.STRUCT)[name]
        for member, offset in through_anonymous(types, type_id):
            assert table.member_offset(name, member) * 8 == offset, f"{name}.{member}"


class Program:
    """All definitions of a BTF as one C program, each after what it needs."""

    def __init__(self, table: Btf) -> None:
        self.table = table
        self.lines: list[str] = []
        self._done: set[int] = set()
        for kind in (*STRUCTS, Kind.FWD):
            for name, type_id in table.names(kind).items():
                self.lines.append(f"{table.c_declaration(type_id)};" if name else "")

    def text(self) -> str:
        """The whole program; an enum may share its tag with a struct of another source file."""
        return re.sub(r"\benum (\w+)", r"enum \1__enum", "\n".join(self.lines))

    def first(self, type_id: int) -> int:
        """Of several types with one name C sees the first."""
        row = self.table.row(type_id)
        return self.table.names(row.kind)[row.name] if row.name else type_id

    def one_of_its_name(self, type_id: int) -> bool:
        """False for a struct that holds one that C cannot name, because another struct of that name came first."""
        type_id = self.table.strip(type_id, THROUGH_NAMES | {Kind.ARRAY})
        row = self.table.row(type_id)
        return row.kind not in STRUCTS or (
            self.first(type_id) == type_id
            and all(self.one_of_its_name(member.type_id) for member in self.table.members(row))
        )

    def define(self, type_id: int) -> None:
        """Write a named type, once, after what it needs."""
        type_id = self.first(type_id)
        row = self.table.row(type_id)
        if type_id in self._done or row.name == "__builtin_va_list":
            return
        self._done.add(type_id)
        if row.kind in STRUCTS:
            for member in self.table.members(row):
                self.need(member.type_id, whole=True)
        elif row.kind is Kind.TYPEDEF:
            self.need(row.value, whole=False)
        text = definition(self.table, type_id)
        # Enums of different source files share names of constants.
        self.lines.append(re.sub(r"^(\s*)(\w+) = (-?\d+),$", rf"\1\2_{type_id} = \3,", text, flags=re.MULTILINE))

    def need(self, type_id: int, *, whole: bool) -> None:
        """Define what a declaration of this type needs; `whole` when its size counts."""
        row = self.table.row(type_id)
        if row.kind in STRUCTS and not row.name:
            for member in self.table.members(row):
                self.need(member.type_id, whole=True)
        elif (row.kind in STRUCTS and whole) or (row.kind in ENUMS and row.name):
            self.define(type_id)
        elif row.kind is Kind.TYPEDEF:
            self.define(type_id)
            self.need(row.value, whole=whole)
        elif row.kind is Kind.ARRAY:
            self.need(row.words[0], whole=True)
        elif row.kind is Kind.FUNC_PROTO:
            for _, parameter in self.table.parameters_of(row):
                self.need(parameter, whole=False)
            self.need(row.value, whole=False)
        elif row.kind in THROUGH_NAMES or row.kind is Kind.PTR:
            self.need(row.value, whole=whole and row.kind is not Kind.PTR)


def test_a_compiler_lays_out_every_printed_struct_as_the_kernel_did(
    table: Btf, types: Types, tmp_path: Path, require: Callable[[bool, str], None]
) -> None:
    require(shutil.which("clang") is not None, "clang is not installed")
    program = Program(table)
    for kind in (Kind.TYPEDEF, *ENUMS, *STRUCTS):
        for type_id in table.names(kind).values():
            program.define(type_id)
    asserts, left_out = 0, list[str]()
    for kind in STRUCTS:
        for name, type_id in table.names(kind).items():
            tag = f"{kind.name.lower()} {name}"
            if not program.one_of_its_name(type_id):
                left_out.append(tag)
                continue
            checks = [f"sizeof({tag}) == {types[type_id]['size']}"]
            checks += [f"__builtin_offsetof({tag}, {m}) == {o // 8}" for m, o in through_anonymous(types, type_id)]
            program.lines += [f'_Static_assert({check}, "{tag}");' for check in checks]
            asserts += len(checks)
    for name, type_id in table.names(Kind.FUNC).items():
        proto = table.row(type_id).value
        program.need(proto, whole=False)
        program.lines.append(f"{table.c_declaration(proto, f'f_{name}')};")
    source = tmp_path / "kernel.c"
    source.write_text(program.text())
    done = subprocess.run(
        ["clang", "-w", "-ferror-limit=20", "-fsyntax-only", str(source)], check=False, capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert asserts > 10_000
    assert len(left_out) < 10, left_out

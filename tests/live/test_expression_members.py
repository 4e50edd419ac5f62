"""Chains over this kernel's types, against what a C compiler makes of bpftool's dump of the same types."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from attached import HOST

from tracescope.attach.expression.chain import Load, Located, Offset, index, member
from tracescope.attach.expression.mistake import Unfit
from tracescope.attach.expression.types import Array, Integer, Operand, Pointer, Space, Struct
from tracescope.sources import btf
from tracescope.sources.btf import Btf

STRUCTS = """
    task_struct mm_struct file inode dentry super_block linux_binprm cred signal_struct sk_buff sock tcp_sock inet_sock
    net_device socket bio request request_queue page vm_area_struct perf_event bpf_prog module kernfs_node cgroup pid rq
"""
DEEP = 3


@pytest.fixture(scope="module")
def table(require) -> Btf:
    require(Path("/sys/kernel/btf/vmlinux").exists(), "the kernel has no BTF")
    require(shutil.which("bpftool") is not None, "bpftool is not installed")
    require(shutil.which("clang") is not None, "clang is not installed")
    return btf.read(HOST)


def chains(table: Btf, value: Located, depth: int) -> Iterator[Located]:
    """Every number, pointer and text in a struct, with those of embedded structs and last elements of arrays."""
    if isinstance(value.type, Array):
        if value.type.count:
            yield from chains(table, index(value, value.type.count - 1, table), depth)
        return
    if not isinstance(value.type, Struct):
        yield value
        return
    for name in table.member_names(value.type.type_id) if depth else ():
        try:
            found = member(value, name, table)
        except Unfit:
            continue
        yield from chains(table, found, depth - 1)


def all_chains(table: Btf) -> dict[str, list[Located]]:
    """By struct that this kernel has: its chains, each name once."""
    found = {}
    for name in STRUCTS.split():
        type_id = table.find(f"struct {name}")
        if type_id is not None and table.resolve(type_id):
            start = Located.of("x", Operand(Struct(type_id, Space.KERNEL), "x"))
            found[name] = list({chain.name: chain for chain in chains(table, start, DEEP)}.values())
    return found


def is_bitfield(chain: Located) -> bool:
    return isinstance(chain.type, Integer) and chain.type.bits > 0


def program(types: str, found: dict[str, list[Located]]) -> str:
    """Arrays of offsets and sizes, and a function that sets each bitfield of a struct to -1 and one that reads it."""
    parts = [types]
    for name, members in found.items():
        rows = [chain.name[2:] for chain in members if not is_bitfield(chain)]
        cells = ", ".join(
            f"__builtin_offsetof(struct {name}, {row}), sizeof(((struct {name} *)0)->{row})" for row in rows
        )
        parts.append(f"unsigned long places_{name}[] = {{ {cells} }};")
        bits = [chain.name[2:] for chain in members if is_bitfield(chain)]
        cases = "".join(f"case {number}: at->{row} = -1; return at->{row}; " for number, row in enumerate(bits))
        parts.append(f"long long set_{name}(struct {name} *at, int which) {{ switch (which) {{ {cases}}} return 0; }}")
    return "\n".join(parts)


def bpftools(*options: str) -> str:
    """bpftool's dump of the kernel's types."""
    command = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", *options]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


@pytest.fixture(scope="module")
def compiled(table: Btf, tmp_path_factory) -> tuple[dict[str, list[Located]], ctypes.CDLL]:
    folder = tmp_path_factory.mktemp("members")
    types = bpftools("format", "c")
    found = all_chains(table)
    # bpftool marks the types for BPF programs; here they are plain C. It forgets that an enum may have one byte.
    types = re.sub(r"#pragma clang attribute.*", "", types)
    for row in json.loads(bpftools("-j"))["types"]:
        if row["kind"] == "ENUM" and row["size"] == 1:
            types = re.sub(rf"(\nenum {re.escape(row['name'])} {{[^}}]*}});", r"\1 __attribute__((mode(byte)));", types)
    source, library = folder / "members.c", folder / "members.so"
    source.write_text(program(types, found))
    command = ["clang", "-shared", "-fPIC", "-O0", "-w", "-fms-extensions", "-o", library, source]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    return found, ctypes.CDLL(str(library))


def test_members_are_where_the_compiler_puts_them(table: Btf, compiled):
    found, library = compiled
    count = 0
    for name, members in found.items():
        rows = [chain for chain in members if not is_bitfield(chain)]
        places = (ctypes.c_ulong * (2 * len(rows))).in_dll(library, f"places_{name}")
        for number, chain in enumerate(rows):
            offset, *rest = chain.steps
            assert isinstance(offset, Offset)
            assert offset.bytes == places[2 * number], f"{name} {chain.name}"
            if isinstance(chain.type, Integer | Pointer):
                assert rest == [Load(Space.KERNEL, places[2 * number + 1])], f"{name} {chain.name}"
            count += 1
    assert count > 2000


def test_bitfields_are_the_bits_that_the_compiler_sets(table: Btf, compiled):
    found, library = compiled
    count = 0
    for name, members in found.items():
        for number, chain in enumerate(filter(is_bitfield, members)):
            buffer = ctypes.create_string_buffer(table.layout(name).size + 8)
            setter = library[f"set_{name}"]
            setter.restype = ctypes.c_longlong
            read = setter(buffer, number)
            offset, load = chain.steps
            assert isinstance(offset, Offset)
            assert isinstance(load, Load)
            ones = (1 << chain.type.bits) - 1
            expected = bytearray(len(buffer.raw))
            expected[offset.bytes : offset.bytes + load.size] = (ones << chain.shift).to_bytes(load.size, "little")
            assert buffer.raw == bytes(expected), f"{name} {chain.name}"
            assert read == (-1 if chain.type.signed else ones), f"{name} {chain.name}"
            count += 1
    assert count > 100


def test_the_first_step_of_a_path_is_the_members_offset(table: Btf):
    for struct, *path in (
        ("task_struct", "se", "load", "weight"),
        ("file", "f_path", "dentry"),
        ("sock", "__sk_common"),
    ):
        value = Located.of("x", Operand(Pointer(table.find(f"struct {struct}") or 0, Space.KERNEL), "x"))
        for name in path:
            value = member(value, name, table)
        assert value.steps[0] == Offset(table.member_offset(struct, *path))

"""Rows of /proc/kallsyms: good ones read, wrong ones counted."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.errors import Damaged, TraceScopeError
from tracescope.host import SnapshotHost
from tracescope.model import Symbol
from tracescope.sources import kallsyms
from tracescope.sources.kallsyms import base_name, is_marker, is_padding, parse_kallsyms, suffix_of

FIXTURES = Path(__file__).parent.parent / "fixtures" / "kallsyms"


def load(name: str) -> kallsyms.SymbolTable:
    return parse_kallsyms((FIXTURES / name).read_bytes())


def slowly(data: bytes) -> list[Symbol]:
    """An independent, plain reading."""
    rows = []
    for line in data.decode("utf-8", "surrogateescape").split("\n")[:-1]:
        address, letter, rest = line.split(" ", 2)
        name, _, module = rest.partition("\t")
        rows.append(Symbol(int(address, 16), letter, name, module[1:-1]))
    return rows


def test_rows_of_modules_keep_their_module():
    table = load("debian11-modules.txt")
    assert table.skipped == 0
    assert list(table) == slowly((FIXTURES / "debian11-modules.txt").read_bytes())
    assert [table[i] for i in range(len(table))] == list(table)
    assert table.modules[0] == ""
    assert {"ccp", "kvm"} <= set(table.modules)


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_a_recorded_host_reads_as_a_plain_reading(host: str, request: pytest.FixtureRequest):
    snapshot: SnapshotHost = request.getfixturevalue(host)
    data = snapshot.read(kallsyms.PATH)
    table = kallsyms.read(snapshot)
    assert len(table) == data.count(b"\n")
    assert list(table) == slowly(data)
    assert table.skipped == 0
    assert not table.addresses_hidden


def test_exports_are_ksymtab_rows_and_upper_case_module_rows():
    exported = load("debian11-modules.txt").exported()
    assert exported["kernel_read"] == ""
    assert exported["psp_check_tee_status"] == "ccp"
    assert exported["ccp_present"] == "ccp"  # EXPORT_SYMBOL_GPL: lower case all the same
    assert "kvm_arch_irq_bypass_start" not in exported  # `w` in a module: weak, not exported
    assert "_stext" not in exported  # `T` in the core kernel: global, not exported


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_every_upper_case_row_of_a_module_has_its_export_row(host: str, request: pytest.FixtureRequest):
    symbols = [s for s in kallsyms.read(request.getfixturevalue(host)) if s.module]
    shown = {(s.name.removeprefix("__ksymtab_"), s.module) for s in symbols if s.name.startswith("__ksymtab_")}
    upper = {(s.name, s.module) for s in symbols if s.type.isupper()}
    assert upper
    assert upper < shown  # less: a GPL export keeps its lower case


def test_hidden_addresses_leave_the_names():
    table = load("hidden-addresses.txt")
    assert table.addresses_hidden
    assert len(table) == 8
    assert all(table.names)


def test_a_cut_last_line_is_skipped_and_not_a_wrong_name():
    data = (FIXTURES / "truncated.txt").read_bytes()
    table = load("truncated.txt")
    assert table.skipped == 1
    assert len(table) == data.count(b"\n")


def test_32_bit_addresses_and_spaces_before_the_module():
    assert list(load("arm-32bit.txt")) == [
        Symbol(0xC0008000, "T", "stext"),
        Symbol(0xC0008000, "T", "_text"),
        Symbol(0xBF000000, "t", "crc32c_mod_init", "crc32c_generic"),
    ]


def test_wrong_lines_between_good_ones_are_counted():
    good = b"ffffffff81000000 T a\n"
    table = parse_kallsyms(good + b"no symbol here\nffffffff81000000 T\nzz T b\n1 TT c\n1 t d [ext4\n\n" + good)
    assert table.names == ["a", "a"]
    assert table.skipped == 5


def test_bytes_that_are_not_utf8_stay_in_the_name():
    table = parse_kallsyms(b"ffffffff81000000 t \xff\x1b[31mx\n")
    assert table.names[0].encode("utf-8", "surrogateescape") == b"\xff\x1b[31mx"


def test_only_text_rows_make_a_name_ambiguous():
    rows = ["T f", "t f", "d f", "t g", "W h", "t h", "d __key", "d __key"]
    table = parse_kallsyms("".join(f"{i:016x} {row}\n" for i, row in enumerate(rows)).encode())
    assert table.duplicates() == {"f": 2, "h": 2}


@pytest.mark.parametrize("data", [b"", b"\n", b"ffffffff81000000 T cut", b"\x7fELF\x02\x01\0\0", bytes(range(256)) * 9])
def test_no_row_at_all_is_damage(data: bytes):
    with pytest.raises(Damaged, match="holds no symbols"):
        parse_kallsyms(data)


@pytest.mark.parametrize(
    ("piece", "end"),
    [
        pytest.param(random.Random(1).randbytes(1 << 16), b"", id="binary"),
        pytest.param(b"a\n", b"", id="short lines"),
        pytest.param(b"0", b"\n", id="one line"),
        pytest.param(b"0000000000000000 T f [x\n", b"", id="almost rows"),
    ],
)
def test_100_mb_of_garbage_is_refused(piece: bytes, end: bytes):
    with pytest.raises(Damaged):
        parse_kallsyms(piece * (100_000_000 // len(piece)) + end)


def test_more_modules_than_codes_skips_the_rest():
    lines = "".join(f"{i:016x} t f\t[m{i}]\n" for i in range(70_000))
    table = parse_kallsyms(lines.encode())
    assert len(table) == 65_535
    assert table.skipped == 70_000 - 65_535
    assert table[65_534].module == "m65534"


names = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x17F, exclude_characters="\x7f\x85\xa0"), min_size=1)
rows = st.builds(
    Symbol,
    address=st.integers(0, 2**64 - 1),
    type=st.sampled_from("AaBbDdRrTtVvWw?"),
    name=names,
    module=st.sampled_from(["", "", "ext4", "bpf", "__builtin__ftrace"]),
)


@given(st.lists(rows, min_size=1, max_size=40))
def test_rows_written_and_read_are_the_same(symbols: list[Symbol]):
    lines = [f"{s.address:016x} {s.type} {s.name}" + (f"\t[{s.module}]" if s.module else "") + "\n" for s in symbols]
    table = parse_kallsyms("".join(lines).encode())
    assert list(table) == symbols
    assert table.skipped == 0


@given(st.binary(max_size=400) | st.text(alphabet="0f T[]\t\nx ", max_size=200).map(str.encode))
def test_any_bytes_give_rows_or_a_clear_refusal(data: bytes):
    try:
        table = parse_kallsyms(data)
    except TraceScopeError:
        return
    assert len(table) == len(table.types) == len(table.addresses) == len(table.module_codes) == len(list(table)) > 0


@pytest.mark.parametrize(
    ("name", "base", "suffix"),
    [
        ("vfs_read", "vfs_read", ""),
        ("do_execveat_common.isra.0", "do_execveat_common", ".isra.0"),
        ("get_sigframe.constprop.0.isra.0", "get_sigframe", ".constprop.0.isra.0"),
        ("foo.isra.0.cold", "foo", ".isra.0.cold"),
        ("foo.cold.12", "foo", ".cold.12"),
        ("foo.part.0.constprop.1.cold", "foo", ".part.0.constprop.1.cold"),
        ("foo.llvm.16012345678901234567", "foo", ".llvm.16012345678901234567"),
        ("sha256_ni_transform.slowpath", "sha256_ni_transform.slowpath", ""),
        ("__key.30", "__key.30", ""),
        (".cold", ".cold", ""),
    ],
)
def test_compiler_suffixes_come_off(name: str, base: str, suffix: str):
    assert base_name(name) == base
    assert suffix_of(name) == suffix


def test_padding_and_markers_are_no_functions():
    assert is_padding("__pfx_vfs_read")
    assert is_padding("__cfi_vfs_read")
    assert not is_padding("vfs_read")
    assert all(map(is_marker, ["_stext", "_etext", "_sinittext", "__entry_text_end", "__noinstr_text_start"]))
    assert not any(map(is_marker, ["vfs_read", "text", "__blk_freeze_queue_start", "__start_tty", "__pfx__stext"]))

"""Print formats compiled: the kernel's printf, C types, tables, arrays, holes; any format and any bytes give a text."""

from __future__ import annotations

import struct
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.errors import Damaged
from tracescope.host import SnapshotHost
from tracescope.model import EventFormat, Field
from tracescope.printable import decode, printable
from tracescope.sources.print_operand import Known, Lookups, Place
from tracescope.sources.print_words import PrintWords, compile_print_fmt
from tracescope.sources.record import record_reader
from tracescope.sources.tracefs import read_formats

FIELDS = (
    Field("u8", "u8", 8, 1, False),
    Field("s8", "s8", 9, 1, True),
    Field("u16", "u16", 10, 2, False),
    Field("s32", "int", 12, 4, True),
    Field("u32", "u32", 16, 4, False),
    Field("u64", "u64", 24, 8, False),
    Field("s64", "s64", 32, 8, True),
    Field("name", "char", 40, 8, True, "8"),
    Field("words", "u16", 48, 8, False, "4"),
    Field("text", "char", 56, 4, False, "", "__data_loc"),
    Field("mac", "u8", 60, 6, False, "6"),
    Field("ip6", "__u8", 66, 16, False, "16"),
    Field("mask", "unsigned long", 84, 4, False, "", "__data_loc"),
)


def event(print_fmt: str) -> EventFormat:
    return EventFormat("test", "test", 1, FIELDS, (), print_fmt)


def compiled(print_fmt: str, **known: object) -> PrintWords:
    return compile_print_fmt(event(print_fmt), Lookups(**known))  # type: ignore[arg-type]


def words(print_fmt: str, **values: Known) -> str:
    return compiled(print_fmt)(values)


@pytest.mark.parametrize(
    ("conversion", "value", "text"),
    [
        ("%d", -5, "-5"),
        ("%u", -1, "4294967295"),
        ("%lu", -1, "18446744073709551615"),
        ("%hhx", 0x1FF, "ff"),
        ("%#x", 0, "0x0"),
        ("%#o", 8, "010"),
        ("%08lx", 0xABC, "00000abc"),
        ("%-6d|", 42, "42    |"),
        ("%+d", 7, "+7"),
        ("%.4d", 7, "0007"),
        ("%5c|", 65, "    A|"),
        ("%p", 0xFFFF, "000000000000ffff"),
        ("100%%, %d", 1, "100%, 1"),
    ],
)
def test_a_number_is_written_as_the_kernel_does(conversion: str, value: int, text: str):
    assert words(f'"{conversion}", REC->s64', s64=value) == text


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        # The side that is not taken has a say in the type.
        ("1 ? -1 : REC->u64", "18446744073709551615"),
        ("0 ? REC->u64 : -1", "18446744073709551615"),
        ("1 ? -1 : REC->s64", "-1"),
        ("(1 ? -1 : REC->u64) > 0", "1"),
        ("(1 ? -1 : 0) > 0", "0"),
        ("(1 ? -1 : 0U) > 0", "1"),
        ("REC->s32 < sizeof(REC->s32)", "0"),
        ("REC->u8 + REC->s32", "254"),
        ("REC->s32 / 2", "0"),
        ("(u8)REC->s32", "255"),
        ("REC->u8 ?: 3", "255"),
    ],
)
def test_types_are_those_of_c(expression: str, text: str):
    conversion = "%llu" if len(text) > 12 else "%d"
    assert words(f'"{conversion}", {expression}', u8=255, s32=-1, u64=1, s64=1) == text


@pytest.mark.parametrize(
    ("expression", "size"),
    [
        ("sizeof(REC->words)", 8),
        ("sizeof(REC->words[0])", 2),
        ("sizeof((REC->words)[0])", 2),
        ("sizeof(*REC->words)", 2),
        ("sizeof(REC->name[0])", 1),
        ("sizeof(REC->words) / sizeof(REC->words[0])", 4),
        ("sizeof(REC->u64)", 8),
        ("sizeof(unsigned long long)", 8),
        ("sizeof(REC->u8 + 1)", 4),
    ],
)
def test_sizeof(expression: str, size: int):
    made = compiled(f'"%lu", {expression}')
    assert made({}) == str(size)
    assert not made.holes


def test_an_array_whose_element_size_is_a_sizeof():
    array = struct.pack("=4H", 1, 2, 0xFFFF, 4)
    text = words('"%s", __print_array(REC->words, 3, sizeof(REC->words[0]))', words=array)
    assert text == "{0x1,0x2,0xffff}"


@pytest.mark.parametrize(
    ("print_fmt", "holes"),
    [
        ('"%d", 1', ()),
        ('"%lu", jiffies', ("jiffies",)),
        ('"%lu %lu", jiffies, jiffies + 1', ("jiffies",)),
        # What a hole is made of is no hole of its own.
        ('"%s", secret(jiffies, other(REC->u8))', ("secret()",)),
        # What is never reached is none.
        ('"%d", 1 ? REC->u8 : jiffies', ()),
        ('"%d", 0 ? REC->u8 : jiffies', ("jiffies",)),
        ('"%lu", REC->u8 ? jiffies : 0', ("jiffies",)),
        ('"%d", sizeof(jiffies)', ("sizeof()",)),
        ('"%d %d", 1', ("missing argument",)),
        ('"%s", __print_symbolic(REC->u8, { SECRET, "A" }, { 1, "B" })', ("SECRET",)),
        ('"%pI4", REC->u32', ("%pI4",)),
        ('"%pV", REC->u64', ("%pV",)),
        ('"%s", (char *)REC->u64', ("%s of an address",)),
    ],
)
def test_the_holes_are_what_only_the_kernel_knows(print_fmt: str, holes: tuple[str, ...]):
    assert compiled(print_fmt).holes == holes


def test_a_hole_says_what_is_missing_where_it_is():
    assert words('"age=%lu id=%d %s", jiffies - REC->u64, REC->u8, f(REC->u8, jiffies)', u64=1, u8=3) == (
        "age=?jiffies id=3 ?f(3, jiffies)"
    )


def test_a_value_that_the_record_is_too_short_for_is_a_hole_too():
    assert words('"a=%d b=%d", REC->u8, REC->s64', u8=1) == "a=1 b=?s64"


def test_flags_and_symbols():
    table = '{ 1, "A" }, { 2, "B" }, { 6, "BC" }'
    assert words(f'"%s", __print_flags(REC->u8, "|", {table})', u8=0x13) == "A|B|0x10"
    assert words(f'"%s", __print_symbolic(REC->u8, {table})', u8=6) == "BC"
    assert words(f'"%s", __print_symbolic(REC->u8, {table})', u8=9) == "0x9"


def test_what_the_host_knows():
    made = compiled(
        '"%pS %ps %s %d %s", REC->u64, REC->u64, REC->s64, jiffies_to_msecs(REC->u32), '
        '__print_symbolic(REC->u8, { MINE, "mine" })',
        symbol=lambda at: Place("vfs_read", at - 0x1000, 0x40, "ext4"),
        string=lambda _at: "constant",
        hz=250,
        enumerator={"MINE": 7}.get,
    )
    assert not made.holes
    assert made({"u64": 0x1010, "s64": 5, "u32": 3, "u8": 7}) == (
        "vfs_read+0x10/0x40 [ext4] vfs_read [ext4] constant 12 mine"
    )


def test_addresses_and_bitmaps():
    text = words(
        '"%pM %pI6c %*pbl %s %*ph", REC->mac, REC->ip6, 16, REC->mask, __get_bitmask(mask), 2, REC->mac',
        mac=bytes(range(6)), ip6=bytes(15) + b"\1", mask=b"\x07\x80",
    )  # fmt: skip
    assert text == "00:01:02:03:04:05 ::1 0-2,15 8007 00 01"


def test_a_format_without_print_fmt_is_damaged():
    with pytest.raises(Damaged, match="no print fmt"):
        compiled("  ")


@pytest.mark.parametrize("host", ["debian11", "debian12"])
def test_every_format_of_a_recorded_host_gives_a_text_of_any_record(host: str, request: pytest.FixtureRequest):
    snapshot: SnapshotHost = request.getfixturevalue(host)
    events = [one for one in read_formats(snapshot).formats if one.print_fmt.strip()]
    assert len(events) > 1300
    whole = 0
    for one in events:
        made, read = compile_print_fmt(one), record_reader(one, common=True)
        whole += not made.holes
        for record in (b"", bytes(512), b"\xff" * 512, bytes(range(256)) * 2):
            text = made(read(record))
            assert not controls(printable(text))
    # Without BTF and kallsyms enumerators and strings are missing.
    assert whole > len(events) * 0.9


PIECES = """
REC -> u8 s32 u64 s64 name words text mac mask jiffies sizeof __get_str __get_dynamic_array __print_flags ( ) [ ] { } ,
+ - * / % << >> & | ^ ~ ! ? : < > == 0 1 -1 255 0xffffffffffffffff 64 "%s" "%d" "|" NULL (u8) (char*) __print_symbolic
__print_array __print_hex __print_hex_dump ntohs __get_bitmask "%*pbl" '"' \\ ;
"""
CONVERSIONS = "%s %p %pM %pI4 %pUl %*pE %-*.*s %c %hhd %#llx %e %pISpc %"
SCRAPS = st.sampled_from(PIECES.split())
FORMATS = st.one_of(
    st.binary(max_size=80).map(decode),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.lists(SCRAPS, max_size=25).map("".join).map('"%d %s %pS %pI6c %*ph %lx", '.__add__),
    st.lists(st.sampled_from(CONVERSIONS.split())).map(
        lambda all_: '"' + " ".join(all_) + '", REC->name, REC->mac, REC->u64, __get_str(text), -5, REC->words'
    ),
)


def controls(text: str) -> list[str]:
    return [sign for sign in text if unicodedata.category(sign) == "Cc"]


@given(FORMATS, st.binary(max_size=160))
def test_any_format_and_any_bytes_give_a_text_without_control_characters(print_fmt: str, record: bytes):
    try:
        made = compile_print_fmt(event(print_fmt))
    except Damaged:
        assert not print_fmt.strip()
        return
    text = made(record_reader(event(print_fmt))(record))
    shown = printable(text)
    assert not controls(shown)
    assert len(text) < 200_000

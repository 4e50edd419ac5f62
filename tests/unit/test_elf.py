from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracescope.errors import Damaged, Forbidden, Missing, TraceScopeError
from tracescope.sources.elf import build_id
from tracescope.sources.elf_symbols import SymbolIndex, symbols
from tracescope.sources.exports import Export, exports
from tracescope.sources.usdt import UsdtArgument, parse_arguments, usdt_notes

SOURCES = Path(__file__).parent.parent / "fixtures" / "elf"

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="gcc is not installed")


def _run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What gcc makes of the sources: program (PIE), fixed (not PIE), module.ko, object.o."""
    folder = tmp_path_factory.mktemp("elf")
    link = ("-Wl,--build-id=0x0123456789abcdef", "-rdynamic")
    _run("gcc", "-O1", "-fPIE", "-pie", *link, "-o", str(folder / "program"), str(SOURCES / "probes.c"))
    _run("gcc", "-O1", "-no-pie", *link, "-o", str(folder / "fixed"), str(SOURCES / "probes.c"))
    _run("gcc", "-c", "-o", str(folder / "module.ko"), str(SOURCES / "module.s"))
    _run("gcc", "-c", "-o", str(folder / "object.o"), str(SOURCES / "object.s"))
    return folder


@pytest.fixture(scope="module", params=["program", "fixed"])
def program(built, request):
    return built / request.param


def test_defined_symbols_are_those_of_nm(program):
    found = symbols(program)
    for switch in ([], ["-D"]):
        lines = [line.split() for line in _run("nm", *switch, str(program)).splitlines()]
        expected = {(row[2].partition("@")[0], int(row[0], 16)) for row in lines if len(row) == 3}
        assert expected
        assert expected <= {(symbol.name.partition("@")[0], symbol.value) for symbol in found}
    names = {line.split()[-1] for line in _run("nm", "-a", str(program)).splitlines()}
    assert {symbol.name for symbol in found} <= names


def test_symbols_are_what_readelf_says_of_them(program):
    sections = dict(re.findall(r"^\s*\[\s*(\d+)\] (\S+)", _run("readelf", "-SW", str(program)), re.MULTILINE))
    expected = set()
    for line in _run("readelf", "-sW", str(program)).splitlines():
        if re.match(r"\s*\d+: ", line) and len(row := line.split()) == 8:
            _, value, size, kind, binding, visibility, index, name = row
            if kind not in ("SECTION", "FILE") and index != "UND":
                expected.add((name, int(value, 16), int(size), kind, binding, visibility, sections.get(index, index)))
    assert {"IFUNC", "FUNC", "OBJECT", "NOTYPE"} >= {row[3] for row in expected} >= {"FUNC", "OBJECT", "NOTYPE"}
    assert {row[4] for row in expected} == {"LOCAL", "GLOBAL", "WEAK"}
    assert expected == {(s.name, s.value, s.size, s.type, s.binding, s.visibility, s.section) for s in symbols(program)}


def test_only_code_has_a_place_for_a_uprobe(program):
    found = {symbol.name: symbol for symbol in symbols(program)}
    assert found["shop_stock"].offset is None
    assert found["shop_raw"].type == "NOTYPE"
    assert found["shop_raw"].offset is not None


def test_the_offset_of_a_function_is_where_its_code_is_in_the_file(program):
    content = program.read_bytes()
    found = {(symbol.name, symbol.value): symbol for symbol in symbols(program)}
    listing = _run("objdump", "-d", "-w", str(program))
    functions = re.findall(r"^([0-9a-f]{16}) <(\w+)>:\n\s+[0-9a-f]+:\t((?:[0-9a-f]{2} )+)", listing, re.MULTILINE)
    own = [row for row in functions if row[1] in ("shop_sell", "shop_raw", "main", "quiet", "shop_total")]
    assert len(own) == 5
    for address, name, code in own:
        assert content[found[name, int(address, 16)].offset :].startswith(bytes.fromhex(code))


def test_usdt_notes_are_those_of_readelf(program):
    notes = re.findall(
        r"Provider: (\S+)\s+Name: (\S+)\s+Location: (\S+), Base: (\S+), Semaphore: (\S+)",
        _run("readelf", "-nW", str(program)),
    )
    found = usdt_notes(program)
    assert [(p.provider, p.name, p.address, p.semaphore) for p in found] == [
        (provider, name, int(location, 16), int(semaphore, 16)) for provider, name, location, _, semaphore in notes
    ]
    assert [(p.provider, p.name) for p in found] == [("shop", "sale"), ("shop", "sold")]


def test_a_usdt_probe_has_its_arguments_and_its_places_in_the_file(program):
    sale, sold = usdt_notes(program)
    assert sale.arguments == (
        UsdtArgument(4, signed=True, expression="%edi"),
        UsdtArgument(8, signed=False, expression="%rsi"),
        UsdtArgument(8, signed=False, expression="%xmm0", floating=True),
    )
    assert sold.arguments == ()
    content = program.read_bytes()
    assert content[sale.offset] == content[sold.offset] == 0x90
    semaphore = next(symbol for symbol in symbols(program) if symbol.name == "shop_sale_semaphore")
    assert sale.semaphore == semaphore.value
    assert content[sale.semaphore_offset : sale.semaphore_offset + 2] == b"\0\0"
    assert (sold.semaphore, sold.semaphore_offset) == (0, None)


def test_prelink_moves_are_undone_by_the_base_section(built):
    before = usdt_notes(built / "program")
    content = bytearray((built / "program").read_bytes())
    # Move the notes' own addresses as if the program had been prelinked 0x1000 lower.
    for provider_at in (match.start() for match in re.finditer(rb"shop\0s(?:ale|old)", bytes(content))):
        addresses = struct.unpack_from("<QQQ", content, provider_at - 24)
        moved = [address - 0x1000 if address else 0 for address in addresses]
        struct.pack_into("<QQQ", content, provider_at - 24, *moved)
    assert usdt_notes(bytes(content)) == before
    assert bytes(content) != (built / "program").read_bytes()


def test_the_build_id_is_what_the_linker_was_told(program, built):
    assert build_id(program) == "0123456789abcdef"
    assert build_id(built / "module.ko") == ""


def test_a_stripped_program_keeps_its_dynamic_symbols(built):
    _run("strip", "-o", str(built / "stripped"), str(built / "program"))
    names = {symbol.name for symbol in symbols(built / "stripped")}
    assert "shop_sell" in names
    assert "quiet" not in names
    with pytest.raises(Missing):
        exports(built / "stripped")


def test_a_file_offset_resolves_to_its_function(program):
    found = symbols(program)
    index = SymbolIndex(found)
    sell = next(symbol for symbol in found if symbol.name == "shop_sell")
    assert index.resolve(sell.offset) == (sell, 0)
    assert index.resolve(sell.offset + sell.size - 1) == (sell, sell.size - 1)
    after = index.resolve(sell.offset + sell.size)
    assert after is None or after[0].name != "shop_sell"
    assert index.resolve(0) is None
    assert SymbolIndex([]).resolve(5) is None


def test_exports_of_a_module_with_licence_and_namespace(built):
    expected = [
        Export("gpl_export", gpl=True),
        Export("plain_export", gpl=False),
        Export("spaced_export", gpl=True, namespace="SHOP_INTERNAL"),
    ]
    module = (built / "module.ko").read_bytes()
    assert exports(built / "module.ko") == expected
    assert exports(lzma.compress(module)) == expected
    assert exports(gzip.compress(module)) == expected


def test_exports_of_a_linked_kernel(built):
    script = "SECTIONS { . = 0xffffffff81000000; .text : { *(.text) } __ksymtab : { *(__ksymtab) }"
    script += " __ksymtab_gpl : { *(__ksymtab_gpl) } __ksymtab_strings : { *(__ksymtab_strings) } }"
    (built / "vmlinux.lds").write_text(script)
    _run("ld", "-T", str(built / "vmlinux.lds"), "-o", str(built / "vmlinux"), str(built / "module.ko"))
    assert exports(built / "vmlinux") == exports(built / "module.ko")


def test_exports_of_objects_before_the_link(built):
    assert exports(built / "object.o") == [
        Export("early", gpl=False),
        Export("early_gpl", gpl=True),
        Export("marked", gpl=False),
        Export("marked_gpl", gpl=True, namespace="SHOP"),
    ]


def test_an_unlinked_symbol_has_no_place_for_a_uprobe(built):
    found = {symbol.name: symbol for symbol in symbols(built / "module.ko")}
    assert found["gpl_export"].section == ".text"
    assert found["gpl_export"].offset is None


def test_a_module_packed_with_zstd_says_what_to_do(tmp_path):
    (tmp_path / "m.ko.zst").write_bytes(b"\x28\xb5\x2f\xfd" + bytes(20))
    with pytest.raises(Missing) as caught:
        exports(tmp_path / "m.ko.zst")
    assert caught.value.fix == "zstd -d m.ko.zst"


def test_a_packed_bomb_is_refused(monkeypatch):
    monkeypatch.setattr("tracescope.sources.elf._MAX_BYTES", 1 << 20)
    for pack in (lzma.compress, gzip.compress):
        with pytest.raises(Damaged):
            symbols(pack(bytes(2 << 20)))


def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, error in (("pipe", Damaged), ("no-such-file", Missing), (".", Damaged), ("nul\0", Damaged)):
        with pytest.raises(error):
            symbols(tmp_path / path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_forbidden(tmp_path):
    (tmp_path / "secret").write_bytes(b"\x7fELF")
    (tmp_path / "secret").chmod(0)
    with pytest.raises(Forbidden):
        symbols(tmp_path / "secret")


def _try_all(content):
    for read in (symbols, usdt_notes, exports, build_id):
        with contextlib.suppress(TraceScopeError):
            read(content)


def test_every_cut_of_a_program_is_refused_or_read(built):
    content = (built / "module.ko").read_bytes()
    for size in range(0, len(content), 7):
        _try_all(content[:size])
    with pytest.raises(Damaged):
        symbols(content[: len(content) // 2])


@given(data=st.data())
@settings(max_examples=150)
def test_a_damaged_byte_raises_nothing_else(built, data):
    content = bytearray((built / data.draw(st.sampled_from(["program", "module.ko"]))).read_bytes())
    # The headers are where damage hurts: the ELF header, the section headers, the notes.
    headers = struct.unpack_from("<Q", content, 0x28)[0]
    spots = st.one_of(st.integers(0, 0x3F), st.integers(headers, len(content) - 1), st.integers(0, len(content) - 1))
    for at in data.draw(st.lists(spots, min_size=1, max_size=8)):
        content[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    _try_all(bytes(content))


@given(st.binary(max_size=400))
def test_garbage_raises_nothing_else(data):
    _try_all(data)
    _try_all(b"\x7fELF\x02\x01\x01" + data)
    _try_all(b"\x7fELF\x01\x02\x01" + data)


def test_section_names_without_an_end_are_bounded(monkeypatch, built):
    monkeypatch.setattr("tracescope.sources.elf._HEADER_BYTES", 1 << 10)
    with pytest.raises(Damaged, match="headers do not end"):
        symbols(built / "program")


def test_overlapping_names_are_refused():
    # 4,000 symbols that all have the same name of 60,000 bytes: 240 MB of text in a file of 160 KB.
    strings = b"\0" + b"a" * 60_000 + b"\0"
    rows = struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0x1000, 1) * 4_000
    names = b"\0.strtab\0.symtab\0"
    heads = struct.pack("<IIQQQQIIQQ", *[0] * 10)
    at = 64
    for name, kind, body, link, size in ((1, 3, names, 0, 0), (9, 2, rows, 3, 24), (1, 3, strings, 0, 0)):
        heads += struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, at, len(body), link, 0, 1, size)
        at += len(body)
    header = (
        b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, at, 0, 64, 56, 0, 64, 4, 1)
    )
    with pytest.raises(Damaged) as caught:
        symbols(header + names + rows + strings + heads)
    assert caught.value.why == "its symbol names overlap"


def test_big_endian_32_bit_tables_are_read():
    names = b"\0.shstrtab\0.symtab\0.strtab\0.text\0"
    strings = b"\0main\0"
    rows = bytes(16) + struct.pack(">IIIBBH", 1, 0x10010, 8, 0x12, 0, 4)
    bodies = [(1, 3, 0, 0, names), (11, 2, 0, 3, rows), (19, 3, 0, 0, strings), (27, 1, 0x10000, 0, bytes(32))]
    segment_at, at = 52, 52 + 32
    heads = bytes(40)
    content = b""
    for name, kind, address, link, body in bodies:
        flags = 6 if address else 0
        heads += struct.pack(
            ">IIIIIIIIII", name, kind, flags, address, at + len(content), len(body), link, 0, 1, 16 * (kind == 2)
        )
        content += body
    text_at = at + len(content) - 32
    segment = struct.pack(">IIIIIIII", 1, text_at, 0x10000, 0x10000, 32, 32, 5, 4)
    header = b"\x7fELF\x01\x02\x01" + bytes(9)
    header += struct.pack(">HHIIIIIHHHHHH", 2, 20, 1, 0x10010, segment_at, at + len(content), 0, 52, 32, 1, 40, 5, 1)
    (main,) = symbols(header + segment + content + heads)
    assert (main.name, main.value, main.size, main.section) == ("main", 0x10010, 8, ".text")
    assert main.offset == text_at + 0x10


def test_usdt_operands_with_spaces_and_without_sizes():
    assert parse_arguments("8@[sp, 8] -4@x0") == (
        UsdtArgument(8, signed=False, expression="[sp, 8]"),
        UsdtArgument(4, signed=True, expression="x0"),
    )
    assert parse_arguments("%rax %rbx 4@$5") == (
        UsdtArgument(0, signed=False, expression="%rax"),
        UsdtArgument(0, signed=False, expression="%rbx"),
        UsdtArgument(4, signed=False, expression="$5"),
    )
    assert parse_arguments("") == ()


@given(
    st.lists(
        st.builds(
            UsdtArgument,
            st.sampled_from([1, 2, 4, 8]),
            st.booleans(),
            st.sampled_from(["%rax", "-8(%rbp)", "$-5", "sym+4(%rip)", "[x29, 40]"]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_written_usdt_arguments_read_back(arguments):
    text = " ".join(f"{'-' * a.signed}{a.size}{'f' * a.floating}@{a.expression}" for a in arguments)
    assert parse_arguments(text) == tuple(arguments)


def test_listing_never_loads_pyelftools():
    code = "import sys, tracescope.sources.elf_symbols, tracescope.sources.usdt, tracescope.sources.exports;"
    code += "print([name for name in sys.modules if name.split('.')[0] in ('elftools', 'numpy', 'textual')])"
    assert _run(sys.executable, "-c", code).strip() == "[]"

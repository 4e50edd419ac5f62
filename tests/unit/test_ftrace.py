from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.errors import Damaged, Missing
from tracescope.host import SnapshotHost
from tracescope.sources.ftrace import (
    BLACKLIST,
    parse_blacklist,
    parse_filter_functions,
    read_blacklist,
    read_functions,
)

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.]{0,30}", fullmatch=True)


@pytest.mark.parametrize("name", ["debian11", "debian12"])
def test_every_line_of_a_recorded_list_is_counted_once(name, request):
    host = request.getfixturevalue(name)
    found = read_functions(host)
    lines = host.read(f"{host.tracefs}/available_filter_functions").decode().splitlines()
    assert found.skipped == 0
    assert len(found) + found.repeated + found.invalid == len(lines)
    assert {(line.split()[0], "") for line in lines if "[" not in line and "__ftrace_invalid" not in line} == {
        (name, "") for name in found.core
    }
    assert all((line.split()[0], line.split()[1].strip("[]")) in found for line in lines if "[" in line)


def test_a_module_function_is_not_one_of_the_core_kernel(debian12):
    found = read_functions(debian12)
    assert ("vfs_read", "") in found
    assert ("vfs_read", "fuse") not in found
    assert ("fuse_open", "fuse") in found
    assert ("fuse_open", "") not in found
    assert ("fuse_open", "no_such_module") not in found


def test_records_of_freed_functions_are_dropped_and_counted(debian12):
    found = read_functions(debian12)
    assert found.invalid == 597
    assert not any("invalid_address" in name for name in found.core)


def test_the_list_with_addresses_tells_functions_of_one_name_apart():
    data = b"ffffffff81000010 type_show\nffffffff81000400 type_show\nffffffffc0000000 f [mod]\n"
    found = parse_filter_functions(data)
    assert found.core == {"type_show"}
    assert ("f", "mod") in found
    assert found.repeated == 1
    assert found.has_site(0xFFFFFFFF81000000, 0xFFFFFFFF81000020)
    assert not found.has_site(0xFFFFFFFF81000020, 0xFFFFFFFF81000400)
    assert not found.has_site(0xFFFFFFFFC0000001, 1 << 64)


def test_hidden_addresses_are_no_sites():
    assert not parse_filter_functions(b"0000000000000000 f\n").sites


def test_text_that_names_no_function_is_damaged():
    with pytest.raises(Damaged):
        parse_filter_functions(b"\x7fELF [ ] \n\x00 \x01 [[\n")
    with pytest.raises(Damaged):
        parse_blacklist(b"<html>\n")


def test_empty_lists_are_empty():
    assert len(parse_filter_functions(b"")) == 0
    assert len(parse_blacklist(b"")) == 0


def test_a_host_without_the_list_is_missing_not_a_crash(tmp_path):
    (tmp_path / "sys/kernel/tracing").mkdir(parents=True)
    with pytest.raises(Missing):
        read_functions(SnapshotHost(tmp_path))
    with pytest.raises(Missing):
        read_blacklist(SnapshotHost(tmp_path))


def test_the_list_with_addresses_is_preferred(tmp_path):
    folder = tmp_path / "sys/kernel/tracing"
    folder.mkdir(parents=True)
    (folder / "available_filter_functions").write_text("f\n")
    (folder / "available_filter_functions_addrs").write_text("ffffffff81000010 f\n")
    assert list(read_functions(SnapshotHost(tmp_path)).sites) == [0xFFFFFFFF81000010]


@pytest.mark.parametrize("name", ["debian11", "debian12"])
def test_every_line_of_a_recorded_blacklist_is_a_row(name, request):
    host = request.getfixturevalue(name)
    found = read_blacklist(host)
    lines = host.read(BLACKLIST).decode().splitlines()
    assert found.skipped == 0
    assert len(found) + found.repeated == len(lines)
    for line in lines:
        span, function = line.split("\t")
        start, end = (int(part, 16) for part in span.split("-"))
        name, _, module = function.partition(" ")
        assert (name, module.strip("[]")) in found
        assert found.covers(start)
        assert found.covers(end - 1)
    assert not found.covers(0)


def test_a_name_can_be_in_both_lists(debian12):
    assert ("do_trap", "") in read_blacklist(debian12)


def test_a_blacklist_without_addresses_still_has_its_names():
    found = parse_blacklist(b"0x0000000000000000-0x0000000000000000\tasm_exc_debug\n0x0-0x0\tf [mod]\n")
    assert ("asm_exc_debug", "") in found
    assert ("f", "mod") in found
    assert not found.covers(0)


@given(st.lists(st.tuples(NAMES, st.sampled_from(["", "ext4", "kvm"])), max_size=30), st.booleans())
def test_a_written_list_reads_back(rows, with_addresses):
    lines = [f"{name} [{module}]" if module else name for name, module in rows]
    if with_addresses:
        lines = [f"{0xFFFFFFFF81000000 + i:x} {line}" for i, line in enumerate(lines)]
    found = parse_filter_functions("".join(f"{line}\n" for line in lines).encode())
    assert all(row in found for row in rows)
    assert len(found) == len(set(rows))
    assert found.repeated == len(rows) - len(set(rows))
    assert len(found.sites) == (len(rows) if with_addresses else 0)


@given(st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 50), NAMES), min_size=1, max_size=20))
def test_merged_ranges_cover_what_the_single_ones_do(rows):
    found = parse_blacklist("".join(f"0x{s:x}-0x{s + n:x}\t{name}\n" for s, n, name in rows).encode())
    covered = {address for start, size, _ in rows for address in range(start, start + size)}
    assert {address for address in range(2100) if found.covers(address)} == covered


@given(st.binary(max_size=300))
def test_garbage_raises_nothing_but_damaged(data):
    for parse in (parse_filter_functions, parse_blacklist):
        with contextlib.suppress(Damaged):
            parse(data)

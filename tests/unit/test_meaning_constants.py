"""The tables of names and structures against what the C compiler makes of the headers."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

from tracescope.attach.meaning.kinds import Layout
from tracescope.attach.meaning.names import MACHINE, family_of, load_table, name_set, set_ids, spell
from tracescope.attach.meaning.structures import layout, layout_ids

UNDECLARED = re.compile(r"[‘'](\w+)[’'] (?:undeclared|has no member)|no member named [‘'](\w+)[’']")
# Structures that grow at their end: these headers may know less of them, or more.
GROWS = {"clone_args", "landlock_ruleset_attr", "mount_attr", "open_how", "perf_event_attr", "sched_attr"}
ULL = 1 << 64

needs_compiler = pytest.mark.skipif(
    not shutil.which("gcc") or family_of(MACHINE) is None, reason="no gcc, or a machine without tables"
)


def compiled(folder: Path, headers: Iterable[str], lines: dict[str, str]) -> dict[str, list[int]]:
    """What a C program prints for each line that compiles: the name and numbers; unknown names are left out."""
    includes = "".join(f"#if __has_include(<{header}>)\n#include <{header}>\n#endif\n" for header in headers)
    lines = dict(lines)
    while lines:
        body = "".join(f"{{ {line} }}\n" for line in lines.values())
        source = f"#define _GNU_SOURCE\n#include <stddef.h>\n{includes}int printf(const char *, ...);\n"
        (folder / "names.c").write_text(f"{source}int main(void) {{\n{body}return 0; }}\n")
        command = ["gcc", "-w", "-o", str(folder / "names"), str(folder / "names.c")]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})
        if done.returncode == 0:
            break
        # Line by line: gcc reports an unknown name once a function, and a line may use several.
        first = source.count("\n") + 2
        wrong = {int(number) - first for number in re.findall(r"names\.c:(\d+):\d+: error", done.stderr)}
        assert wrong, done.stderr
        unknown = {name for found in UNDECLARED.findall(done.stderr) for name in found if name}
        names = list(lines)
        lines = {
            name: line
            for index, (name, line) in enumerate(lines.items())
            if index not in wrong and not unknown & set(re.findall(r"\w+", line))
        }
        assert len(lines) < len(names), done.stderr
    else:
        return {}
    printed = subprocess.run([folder / "names"], capture_output=True, text=True, check=True).stdout
    rows = [line.split("\t") for line in printed.splitlines()]
    return {row[0]: [int(number) for number in row[1:]] for row in rows}


def defined_names() -> dict[tuple[str, ...], dict[str, int]]:
    """The names of this machine by the headers that define them."""
    found: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for area in ("files", "memory", "network", "processes", "ioctls"):
        for id_, table in load_table(f"names/{area}.toml").items():
            names = name_set(id_)
            assert names is not None
            own = {*table.get("values", {}), *table.get("bits", {}), *table.get(family_of(MACHINE), {})}
            if table.get("headers"):
                found[tuple(table["headers"])] |= {name: names.numbers[name] for name in own}
    return found


def same(ours: int, printed: int) -> bool:
    """`1 << 31` is negative in C."""
    return (ours - printed) % (ULL if ours >> 32 > 0 else 1 << 32) == 0


@needs_compiler
def test_every_name_has_the_number_that_the_headers_give_it(tmp_path: Path):
    wrong, checked, missing = [], 0, []
    for headers, names in defined_names().items():
        lines = {name: f'printf("{name}\\t%lld\\n", (long long)({name}));' for name in names}
        printed = compiled(tmp_path, headers, lines)
        checked += len(printed)
        missing += [name for name in names if name not in printed]
        wrong += [(name, names[name], value) for name, (value,) in printed.items() if not same(names[name], value)]
    assert wrong == []
    # Newer kernels have names that these headers lack.
    assert len(missing) < 0.25 * checked, missing


def member_lines(id_: str, found: Layout) -> dict[str, str]:
    table = load_table("structs.toml")[id_]
    rows = table.get(family_of(MACHINE), table)["members"]
    c_type = table["type"]
    lines = {"": f'printf("\\t%zu\\t0\\n", sizeof({c_type}));'}
    for member in found.members:
        name = rows[member.name][2]
        place = f"offsetof({c_type}, {name}), sizeof((({c_type} *)0)->{name})"
        lines[member.name] = f'printf("{member.name}\\t%zu\\t%zu\\n", {place});'
    return lines


@needs_compiler
def test_every_member_of_a_structure_is_where_the_headers_put_it(tmp_path: Path):
    missing, members = [], 0
    for id_ in layout_ids():
        found = layout(id_)
        assert found is not None
        printed = compiled(tmp_path, load_table("structs.toml")[id_]["headers"], member_lines(id_, found))
        if not printed:
            missing.append(id_)
            continue
        size = printed.pop("")[0]
        expected = {member.name: [member.offset, member.size] for member in found.members}
        # `st_atime` names the seconds only.
        short = {name: [offset, size] for name, (offset, size) in expected.items() if name in printed}
        for name, (offset, length) in printed.items():
            assert short[name][0] == offset, (id_, name)
            assert short[name][1] == length or (id_ == "stat" and length == 8), (id_, name)
        members += len(printed)
        if id_ not in GROWS:
            assert size == found.size, id_
        assert len(printed) == len(found.members) or id_ in GROWS | {"statx"}, id_
    assert members > 200
    # Newer kernels have structures that these headers lack.
    assert len(missing) < 8, missing


@pytest.mark.parametrize(
    ("id_", "module", "pattern"),
    [
        ("family", socket, r"AF_\w+"),
        ("socket_type", socket, r"SOCK_(?!NONBLOCK|CLOEXEC)\w+"),
        ("message", socket, r"MSG_\w+"),
        ("shutdown", socket, r"SHUT_\w+"),
        ("socket_option", socket, r"SO_(?!INCOMING_CPU)\w+"),
        ("tcp_option", socket, r"TCP_\w+"),
        ("open", os, r"O_(?!RSYNC|LARGEFILE|EXEC)\w+"),
        ("whence", os, r"SEEK_\w+"),
        ("scheduler", os, r"SCHED_(?!OTHER)\w+"),
        ("wait_which", os, r"P_(PID|PGID|ALL|PIDFD)"),
        ("splice", os, r"SPLICE_F_\w+"),
        ("memfd", os, r"MFD_(?!HUGE_)\w+"),
        ("eventfd", os, r"EFD_\w+"),
        ("signal", signal, r"SIG(?!RTMIN|RTMAX|CLD|_)[A-Z]+\d*"),
        ("errno", errno, r"E[A-Z0-9]+"),
        ("rlimit", resource, r"RLIMIT_(?!OFILE)\w+"),
        ("rusage", resource, r"RUSAGE_\w+"),
        ("fcntl_command", fcntl, r"F_(?!RDLCK|WRLCK|UNLCK|EXLCK|SHLCK|SEAL|OWNER)(?!\w*64)\w+"),
        ("flock", fcntl, r"LOCK_\w+"),
        ("epoll_events", select, r"EPOLL(?!_)\w+"),
        ("poll_events", select, r"POLL\w+"),
    ],
)
def test_a_name_that_python_knows_too_has_pythons_number(id_: str, module: object, pattern: str):
    names = name_set(id_)
    if names is None:
        pytest.skip("no tables for this machine")
    theirs = {name: int(getattr(module, name)) for name in dir(module) if re.fullmatch(pattern, name)}
    shared = {name for name in theirs if name in names.numbers}
    assert len(shared) > 1
    assert {name: names.numbers[name] % ULL for name in shared} == {name: theirs[name] % ULL for name in shared}


# arch/arm64/include/uapi/asm/fcntl.h and mman.h, read by hand.
ARM = {"O_DIRECTORY": 0o40000, "O_NOFOLLOW": 0o100000, "O_DIRECT": 0o200000, "O_LARGEFILE": 0o400000, "O_CREAT": 0o100}


@pytest.mark.parametrize("machine", ["aarch64", "arm64"])
def test_arm64_has_its_own_open_flags(machine: str):
    names = name_set("open", machine)
    assert names is not None
    assert {name: names.numbers[name] for name in ARM} == ARM
    assert spell(names, 0o2240000, 32) == "O_RDONLY|O_DIRECT|O_DIRECTORY|O_CLOEXEC"


def test_a_flag_of_one_machine_is_not_named_on_another():
    x86, arm = name_set("map", "x86_64"), name_set("map", "aarch64")
    assert x86 is not None
    assert arm is not None
    assert spell(x86, 0x62, 64) == "MAP_PRIVATE|MAP_ANONYMOUS|MAP_32BIT"
    assert spell(arm, 0x62, 64) == "MAP_PRIVATE|MAP_ANONYMOUS|0x40"


@pytest.mark.parametrize("machine", ["ppc64le", "mips64", "sparc64", "i686", "armv7l", ""])
def test_no_names_are_claimed_for_a_machine_with_other_numbers(machine: str):
    assert {name_set(id_, machine) for id_ in set_ids()} == {None}
    assert {layout(id_, machine) for id_ in layout_ids()} == {None}


def test_every_set_is_well_made():
    for id_ in set_ids():
        for machine in ("x86_64", "aarch64", "riscv64"):
            names = name_set(id_, machine)
            assert names is not None
            assert names.is_enumeration or not names.values, id_
            assert names.numbers, id_
            assert all(0 < bit < ULL for bit, _ in names.bits), id_
            covered = [part.mask for part in names.parts]
            assert sum(covered) == 0 or all(a & b == 0 for a in covered for b in covered if a is not b), id_


def test_every_structure_is_well_made():
    for id_ in layout_ids():
        for machine in ("x86_64", "aarch64", "riscv64"):
            found = layout(id_, machine)
            assert found is not None
            ends = [0]
            for member in sorted(found.members, key=lambda member: member.offset):
                assert ends[-1] <= member.offset, (id_, member.name)
                ends.append(member.offset + member.size)
            assert ends[-1] == found.span <= found.size, id_
            words = load_table("structs.toml")[id_]["members"]
            named = [name for name, row in words.items() if len(row) > 3]
            assert all(member.means is not None for member in found.members if member.name in named), id_

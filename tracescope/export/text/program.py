#!/usr/bin/env python3
"""@NAME@: written by TraceScope for BCC.

@ABOUT@
Needs BCC for Python (Debian: python3-bpfcc; not the `bcc` of the Python package index), Linux 5.8 or later, and root.
BCC compiles the C below when this starts. For that it wants the kernel's headers, or in their place TraceScope's own
header tree:

    BCC_KERNEL_SOURCE=.../tracescope/attach/shim python3 @NAME@.py

Text of the traced programs is printed in quotes and escaped: it cannot reach the terminal. `?` is what could not be read.
"""

import argparse
import ctypes as ct
import mmap
import os
import signal
import struct
import sys
import time

from bcc import BPF, lib

PROGRAM = r"""
@PROGRAM@
"""

@TABLES@

# Offsets of members ------------------------------------------------------------------------------------------

# The members of the kernel's structs that the programs read; where they lie says the running kernel's BTF.
MEMBERS = @MEMBERS@


def offsets(wanted, path="/sys/kernel/btf/vmlinux"):
    """Bytes from a struct's beginning to a member, by (struct, member). Documentation/bpf/btf.rst has the format."""
    if not wanted:
        return {}
    with open(path, "rb") as file:
        data = file.read()
    length, type_at, type_size, text_at, _ = struct.unpack_from("=4xIIIII", data)
    at, end, text_at = length + type_at, length + type_at + type_size, length + text_at
    extra = {1: 4, 3: 12, 14: 4, 17: 4}
    each = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
    types, named = [None], {}

    def text(offset):
        return data[text_at + offset : data.index(b"\0", text_at + offset)].decode("ascii", "replace")

    tags = {name for name, _ in wanted}
    while at < end:
        name, info, size = struct.unpack_from("=III", data, at)
        kind, count = info >> 24 & 31, info & 0xFFFF
        types.append((kind, count, size, at + 12, info >> 31))
        if kind in (4, 5) and name:
            tag = f"{'struct' if kind == 4 else 'union'} {text(name)}"
            if tag in tags:
                named.setdefault(tag, len(types) - 1)
        at += 12 + extra.get(kind, 0) + each.get(kind, 0) * count

    def find(number, member):
        kind, count, size, first, with_bits = types[number]
        while kind in (8, 9, 10, 11):  # typedef, volatile, const, restrict
            kind, count, size, first, with_bits = types[size]
        for place in range(first, first + 12 * count if kind in (4, 5) else first, 12):
            name, inner, offset = struct.unpack_from("=III", data, place)
            offset = (offset & 0xFFFFFF if with_bits else offset) // 8
            if name and text(name) == member:
                return offset
            if not name:
                found = find(inner, member)
                if found is not None:
                    return offset + found
        return None

    result = {}
    for tag, member in wanted:
        found = find(named[tag], member) if tag in named else None
        if found is None:
            sys.exit(f"@NAME@: this kernel has no {tag} with a member {member}")
        result[tag, member] = found
    return result


# Options -----------------------------------------------------------------------------------------------------

FILTERS = @FILTERS@


def positive(text):
    value = float(text)
    if not value > 0:
        raise ValueError(text)
    return value


def parse():
    parser = argparse.ArgumentParser(description=@WHAT@)
    for letter, name in (("p", "pid"), ("t", "tid"), ("u", "uid")):
        parser.add_argument(
            f"-{letter}", f"--{name}", type=int, action="append", default=[], help=f"only this {name}; several times: any"
        )
    parser.add_argument("-c", "--comm", action="append", default=[], help="only threads of this name")
    parser.add_argument("-d", "--duration", type=positive, metavar="S", help="end after so many seconds")
@COUNT_OPTION@    parser.add_argument("--program", action="store_true", help="print the C and end")
    options = parser.parse_args()
    for name, values in FILTERS.items():
        setattr(options, name, values + getattr(options, name))
    return options


def conditions(options):
    """What leaves in the kernel, before anything is handed over: the lines for FILTERS in the program."""
    lines = [f"if (pid == {os.getpid()}) return 0; /* what is printed here must not be traced and printed again */"]
    for name in ("pid", "tid", "uid"):
        tests = [f"{name} != {value & 0xFFFFFFFF}U" for value in getattr(options, name)]
        if tests:
            lines.append(f"if ({' && '.join(tests)}) return 0;")
    tests = []
    for comm in options.comm:
        # A thread's name has 15 bytes and a NUL: two words.
        first, second = struct.unpack("=QQ", os.fsencode(comm)[:15].ljust(16, b"\0"))
        tests.append(f"!(comm[0] == {first:#x}ULL && comm[1] == {second:#x}ULL)")
    if tests:
        lines.append(f"if ({' && '.join(tests)}) return 0;")
    return "\n    ".join(lines)


# Output ------------------------------------------------------------------------------------------------------


def quoted(data):
    """Bytes in quotes; all that is no plain ASCII is escaped."""
    plain = (chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}" for byte in data)
    text = "".join(plain).replace("\\x22", '\\"').replace("\\x5c", "\\\\")
    return f'"{text}"'


def shown(form, value):
    if form == "text":
        return quoted(bytes(value))
    if form == "bytes":
        return f"0x{bytes(value).hex()}"
    return f"{value:#x}" if form == "address" else str(value)


@OUTPUT@

# Attaching ---------------------------------------------------------------------------------------------------


def attach_user(b, path, offset, semaphore, function, returns, pid):
    """A place in a file. bcc's own attach_uprobe() takes addresses, and raises no semaphore."""
    loaded = b.load_func(function, BPF.KPROBE)
    event = f"ts_{os.getpid()}_{function}_{offset:x}".encode("ascii")
    if lib.bpf_attach_uprobe(loaded.fd, int(returns), event, path, offset, pid, ct.c_uint(semaphore)) < 0:
        sys.exit(f"@NAME@: {os.fsdecode(path)} cannot be attached at {offset:#x}")


def attach(b):
@ATTACH@

def main():
    options = parse()
    program = PROGRAM.replace("/* FILTERS */", conditions(options))
    if options.program:
        print(program)
        return
    flags = ["-fms-extensions", "-Wno-microsoft-anon-tag", "-Wno-unused-function", f"-DPAGE_SIZE={mmap.PAGESIZE}"]
    flags += [f"-DOFFSET_{tag.replace(' ', '_')}_{member}={number}" for (tag, member), number in offsets(MEMBERS).items()]
    b = BPF(text=program, cflags=flags)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run(b, options)


if __name__ == "__main__":
    main()

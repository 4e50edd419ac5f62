"""Expressions for tests: a scope over numbers and texts, random ones by a grammar, and C compiled on this machine."""

from __future__ import annotations

import ctypes
import random
import re
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tracescope.attach.expression.c_helpers import HELPERS
from tracescope.attach.expression.c_text import CCondition, CValue
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.types import Integer, Operand, Pointer, Space, Text
from tracescope.sources.btf import Btf

FLAGS = {"O_CREAT": 64, "O_EXCL": 128, "O_APPEND": 1024}
WIDTHS = {f"{sign}{8 * size}": Integer(size, sign == "s") for sign in "su" for size in (1, 2, 4, 8)}
"""`s8` to `u64`."""
NUMBERS = {**WIDTHS, "flags": Integer(4, signed=False, names=FLAGS)}
"""The arguments that are numbers."""
BTF = Btf.parse((Path(__file__).parent / "fixtures" / "btf" / "sample-little.btf").read_bytes())
NODE = Pointer(BTF.find("struct node") or 0, Space.KERNEL)
MEMBERS = {"args.node->low": "I", "args.node->inner.a": "i", "args.node->key": "Q", "args.node->next->inner.a": "i"}
"""Numbers behind the argument `node` and how they are packed: any of the pointers may be null."""
ARRAY = 16
TEXTS = {
    "own": Text(Space.OWN, ARRAY, 8),
    "unaligned": Text(Space.OWN, ARRAY, 2),
    "array": Text(Space.KERNEL, ARRAY),
    "name": Text(Space.KERNEL),
    "path": Text(Space.USER),
}
"""The arguments that are text."""

EDGES = (0, 1, 2, 3, 5, 63, 64, 127, 128, 255, 256, 32767, 32768, 65535, 1 << 31, (1 << 31) - 1, (1 << 32) - 1)
EDGES += (1 << 32, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 2, (1 << 64) - 1)
PARTS = ("", "a", "ab", "abc", "sshd", "sshd-session", "0123456", "01234567", "012345678", "fifteen-letters", "x" * 16)

_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_ARITHMETIC = ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")


@dataclass
class Grammar:
    """Random expressions by a grammar; most of them make sense for these operands."""

    random: random.Random
    numbers: Sequence[str]
    texts: Sequence[str] = ()

    def condition(self, depth: int = 3) -> str:
        kind = self.random.randrange(10) if depth > 0 else 9
        if kind < 2:
            sign = self.random.choice(("&&", "||"))
            return f" {sign} ".join(self.wrapped(depth - 1) for _ in range(self.random.randint(2, 3)))
        if kind == 2:
            return f"!({self.condition(depth - 1)})"
        if kind == 3:
            return self.number(depth)
        if kind < 6 and self.texts:
            return self.text()
        return f"{self.number(depth)} {self.random.choice(_COMPARISONS)} {self.number(depth)}"

    def wrapped(self, depth: int) -> str:
        text = self.condition(depth)
        return text if self.random.random() < 0.5 else f"({text})"

    def number(self, depth: int) -> str:
        kind = self.random.randrange(8) if depth > 0 else self.random.choice((5, 6, 7))
        if kind < 3:
            sides = f"{self.number(depth - 1)} {self.random.choice(_ARITHMETIC)} {self.number(depth - 1)}"
            return f"({sides})" if self.random.random() < 0.7 else sides
        if kind == 3:
            return f"{self.random.choice('-~+!')}({self.number(depth - 1)})"
        if kind == 4 and depth > 1:
            return f"({self.condition(depth - 1)})"
        return self.random.choice(self.numbers) if kind < 7 else self.literal()

    def literal(self) -> str:
        value = self.random.choice((*EDGES[:12], self.random.choice(EDGES), self.random.getrandbits(16)))
        words = (
            str(value),
            hex(value),
            f"-{value & 0xFFFF}",
            f"{value & 15}K",
            f"0{value & 511:o}",
            "O_CREAT",
            "EINVAL",
        )
        return self.random.choice(words)

    def text(self) -> str:
        part = self.random.choice(PARTS)
        pattern = self.random.choice((f"{part}*", f"*{part[-3:]}", f"{part[:2]}*{part[-2:]}"))
        name = self.random.choice(self.texts)
        return self.random.choice((f'{name} == "{part}"', f'"{part}" != {name}', f"{name} =~ '{pattern}'"))

    def word(self) -> int:
        """64 bits, often special ones."""
        return self.random.choice((self.random.choice(EDGES), self.random.getrandbits(64), self.random.getrandbits(7)))


# What stands for the kernel: addresses below a page and above 2**47 cannot be read.
_KERNEL = """
typedef signed char s8; typedef short s16; typedef int s32; typedef long long s64;
typedef unsigned char u8; typedef unsigned short u16; typedef unsigned int u32; typedef unsigned long long u64;

static long copy(void *to, u32 size, const void *from)
{
    u64 address = (u64)from;
    int bad = address < 4096 || address >> 47;

    for (u32 i = 0; i < size; i++)
        ((char *)to)[i] = bad ? 0 : ((const char *)from)[i];
    return bad ? -14 : 0;
}

static long copy_str(void *to, u32 size, const void *from)
{
    u64 address = (u64)from;
    u32 i;

    if (address < 4096 || address >> 47)
        return -14;
    for (i = 0; i < size; i++)
        if (!(((char *)to)[i] = ((const char *)from)[i]))
            return i + 1;
    ((char *)to)[size - 1] = 0;
    return size;
}
#define bpf_probe_read_kernel copy
#define bpf_probe_read_user copy
#define bpf_probe_read_kernel_str copy_str
#define bpf_probe_read_user_str copy_str
"""


def condition_function(name: str, made: CCondition, parameters: str = "u64 *ctx") -> str:
    return f"{made.definitions}\nint {name}({parameters})\n{{\n{made.statements}    return !!{made.value};\n}}\n"


UNREAD = (1 << 64) - 4711


def value_function(name: str, made: CValue, parameters: str = "u64 *ctx") -> str:
    """Returns the value, and UNREAD when it cannot be read."""
    body = f"{made.statements}    return {made.failed} ? {UNREAD}ULL : (u64)({made.value});"
    return f"{made.definitions}\nu64 {name}({parameters})\n{{\n{body}\n}}\n"


def host_library(folder: Path, functions: str) -> dict[str, Callable[..., int]]:
    """The functions by name, compiled on this machine."""
    source, library = folder / "expressions.c", folder / "expressions.so"
    flags = ["-O1", "-fwrapv", "-fno-strict-aliasing", "-shared", "-fPIC", "-Werror", "-Wno-unknown-pragmas"]
    flags += ["-Wno-attributes"]
    source.write_text(_KERNEL + HELPERS + functions)
    done = subprocess.run(["gcc", *flags, "-o", library, source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:4000]
    loaded = ctypes.CDLL(str(library))
    found = {}
    for returned, name in re.findall(r"^(int|u64) (\w+)\(", functions, re.MULTILINE):
        found[name] = loaded[name]
        found[name].restype = ctypes.c_uint64 if returned == "u64" else ctypes.c_int
    return found


SLOTS = {name: index for index, name in enumerate((*NUMBERS, "node", *TEXTS))}
_TEXT_AT = 8 * len(SLOTS)


def host_scope() -> Scope:
    """Every argument in a u64 of `ctx`; texts in OWN memory are behind these."""
    args = {name: Operand(type_, f"ctx[{SLOTS[name]}]") for name, type_ in NUMBERS.items()}
    args["node"] = Operand(NODE, f"ctx[{SLOTS['node']}]")
    for index, (name, type_) in enumerate(TEXTS.items()):
        place = _TEXT_AT + ARRAY * index + (2 if type_.align == 2 else 0)
        own = type_.space is Space.OWN
        args[name] = Operand(type_, "ctx", place) if own else Operand(type_, f"ctx[{SLOTS[name]}]")
    return Scope(args=args, btf=BTF)


class Context:
    """The memory that `ctx` points to, with these values; None stands for what cannot be read."""

    def __init__(self, values: Mapping[str, int | bytes | None]) -> None:
        self._kept = []
        words = [0] * len(SLOTS)
        own = bytearray(ARRAY * len(TEXTS) + 8)
        for index, (name, type_) in enumerate(TEXTS.items()):
            value = values.get(f"args.{name}")
            if type_.space is Space.OWN:
                start = ARRAY * index + (2 if type_.align == 2 else 0)
                own[start : start + ARRAY] = (value or b"")[:ARRAY].ljust(ARRAY, b"\0")
            elif value is not None:
                words[SLOTS[name]] = self._address(value.ljust(ARRAY, b"\0") + b"\0")
        for name in NUMBERS:
            words[SLOTS[name]] = (values[f"args.{name}"] or 0) & (1 << 64) - 1
        words[SLOTS["node"]] = self._node(values)
        self.buffer = ctypes.create_string_buffer(struct.pack(f"={len(words)}Q", *words) + bytes(own))

    def _address(self, data: bytes) -> int:
        buffer = ctypes.create_string_buffer(data, len(data))
        self._kept.append(buffer)
        return ctypes.addressof(buffer)

    def _node(self, values: Mapping[str, int | bytes | None]) -> int:
        """A list of one or two `struct node`, or no list."""
        if values["args.node->low"] is None:
            return 0
        second = bytearray(BTF.layout("struct node").size)
        first = bytearray(second)
        for name, code in MEMBERS.items():
            path = name.replace("->", ".").split(".")[1:]
            target = second if "next" in path else first
            offset = BTF.member_offset("node", *(word for word in path if word not in ("node", "next")))
            number = (values[name] or 0) & (1 << 8 * struct.calcsize(code)) - 1
            struct.pack_into("=" + code.upper(), target, offset, number)
        if values["args.node->next->inner.a"] is not None:
            struct.pack_into("=Q", first, BTF.member_offset("node", "next"), self._address(bytes(second)))
        return self._address(bytes(first))

    def call(self, function: Callable[..., int]) -> int:
        return function(self.buffer)

    def slot(self, name: str) -> int:
        """What `ctx` holds for an argument."""
        return struct.unpack_from("=Q", self.buffer, 8 * SLOTS[name])[0]


OPERANDS = (*(f"args.{name}" for name in NUMBERS), *MEMBERS)
TEXT_OPERANDS = tuple(f"args.{name}" for name in TEXTS)


def random_values(grammar: Grammar) -> dict[str, int | bytes | None]:
    """Values for `Context`, some of them missing."""
    values: dict[str, int | bytes | None] = {f"args.{name}": grammar.word() for name in NUMBERS}
    for name, type_ in TEXTS.items():
        text = grammar.random.choice((*PARTS, grammar.random.choice(PARTS) + "-" + grammar.random.choice(PARTS)))
        missing = type_.space is not Space.OWN and grammar.random.random() < 0.15
        values[f"args.{name}"] = None if missing else text.encode()
    missing = grammar.random.random()
    for name in MEMBERS:
        lost = missing < 0.1 or (missing < 0.3 and "next" in name)
        values[name] = None if lost else grammar.word()
    return values

"""BTF: what two recorded kernels, a compiled sample of every kind, and random and broken bytes say."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracescope.errors import Damaged, Missing, Refused, TraceScopeError
from tracescope.host import SnapshotHost
from tracescope.sources import btf
from tracescope.sources.btf import Btf
from tracescope.sources.btf_layout import Layout
from tracescope.sources.btf_prototypes import Prototype
from tracescope.sources.btf_types import Kind

FIXTURES = Path(__file__).parent.parent / "fixtures"
HOSTS = ("debian11-5.10", "debian12-6.1")


@cache
def host(name: str) -> SnapshotHost:
    return SnapshotHost(FIXTURES / "hosts" / f"{name}.zip")


@cache
def kernel(name: str) -> Btf:
    return btf.read(host(name))


@cache
def sample(order: str) -> Btf:
    return Btf.parse((FIXTURES / "btf" / f"sample-{order}.btf").read_bytes())


class Writer:
    """Writes BTF: types get ids from 1, or from where the base ends."""

    def __init__(self, order: str = "<", base: Writer | None = None) -> None:
        self.order = order
        self.next_id = base.next_id if base else 1
        self.strings = bytearray() if base else bytearray(b"\0")
        self._first_string = base.string_end if base else 0
        self._words: list[int] = []

    @property
    def string_end(self) -> int:
        return self._first_string + len(self.strings)

    def string(self, text: str) -> int:
        if not text:
            return 0
        offset = self.string_end
        self.strings += text.encode() + b"\0"
        return offset

    def add(self, kind: int, name: str = "", value: int = 0, *words: int, vlen: int = 0, flag: bool = False) -> int:
        self._words += [self.string(name), kind << 24 | vlen | flag << 31, value, *words]
        self.next_id += 1
        return self.next_id - 1

    def struct(self, name: str, size: int, *members: tuple[str, int, int], kind: Kind = Kind.STRUCT) -> int:
        words = [word for text, type_id, bits in members for word in (self.string(text), type_id, bits)]
        return self.add(kind, name, size, *words, vlen=len(members))

    def function(self, name: str, returns: int, *parameters: tuple[str, int]) -> int:
        words = [word for text, type_id in parameters for word in (self.string(text), type_id)]
        proto = self.add(Kind.FUNC_PROTO, "", returns, *words, vlen=len(parameters))
        return self.add(Kind.FUNC, name, proto)

    def bytes(self) -> bytes:
        types = struct.pack(f"{self.order}{len(self._words)}I", *self._words)
        header = struct.pack(f"{self.order}HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self.strings))
        return header + types + self.strings


# The recorded hosts


def bpftrace_functions(name: str) -> Iterator[tuple[str, str, list[str]]]:
    """Module, function and argument lines of `bpftrace -lv`; 0.11 lists no modules and ends a line with `;`."""
    text = host(name).run("bpftrace", "-lv").decode()
    for block in re.findall(r"^kfunc:(\S+)\n((?: .*\n)*)", text, re.MULTILINE):
        module, _, function = block[0].rpartition(":")
        yield module or "vmlinux", function, [line.rstrip(";") for line in block[1].splitlines()]


def squeezed(lines: list[str]) -> list[str]:
    """Spaces aside, and without the `___2` that libbpf's dumper adds to the second type of a name."""
    return [re.sub(r"___\d+\b|\s", "", line) for line in lines]


def arguments_by_name(table: Btf) -> dict[str, list[str]]:
    """The arguments of all functions of a name, one after the other: BTF has several when static ones differ."""
    lines: dict[str, list[str]] = {}
    for function in map(table.row, table.ids(Kind.FUNC)):
        proto = table.row(function.value)
        rows = [f"{table.c_declaration(type_id)} {name}" for name, type_id in table.parameters_of(proto)]
        retval = [f"{table.c_declaration(proto.value)} retval"] if proto.value else []
        lines.setdefault(function.name, []).extend(squeezed(rows + retval))
    return lines


@pytest.mark.parametrize(("name", "count", "doubled"), [("debian11-5.10", 34914, 0), ("debian12-6.1", 37089, 390)])
def test_every_function_has_the_arguments_that_bpftrace_lists(name: str, count: int, doubled: int) -> None:
    """bpftrace 0.17 appends the arguments of all functions of one name; nothing else differs."""
    tables: dict[str, Btf] = {}
    seen, appended, wrong = 0, 0, []
    every = arguments_by_name(kernel(name))
    for module, function, lines in bpftrace_functions(name):
        if module not in tables:
            tables[module] = btf.read(host(name), module, kernel(name) if module != "vmlinux" else None)
        ours = squeezed([f"{type_text} {word}" for type_text, word in tables[module].bpftrace_arguments(function)])
        seen += 1
        if ours != squeezed(lines):
            if module == "vmlinux" and every[function] == squeezed(lines):
                appended += 1
            else:
                wrong.append((module, function, lines, ours))
    assert wrong == []
    assert (seen, appended) == (count, doubled)


def test_a_module_continues_the_ids_and_strings_of_the_kernel() -> None:
    module = btf.read(host("debian12-6.1"), "9p", kernel("debian12-6.1"))
    assert module.first == kernel("debian12-6.1").end
    assert len(module) == module.end - module.first
    signature = module.function("v9fs_drop_inode")
    assert signature is not None
    assert signature.prototype == "int v9fs_drop_inode(struct inode * inode)"
    assert "vfs_read" not in module.functions()
    assert module.member_offset("task_struct", "tgid") == kernel("debian12-6.1").member_offset("task_struct", "tgid")
    assert "v9fs_drop_inode" in module.functions_with("inode")


def test_a_module_read_alone_brings_its_kernel() -> None:
    module = btf.read(host("debian12-6.1"), "fuse")
    assert module.base is not None
    assert module.has_member("fuse_conn", "max_read")


def test_a_module_without_its_kernel_is_refused() -> None:
    data = host("debian12-6.1").read("/sys/kernel/btf/9p")
    with pytest.raises(Damaged, match="read it together with vmlinux"):
        Btf.parse(data)


def test_the_modules_of_a_host_are_listed() -> None:
    assert btf.modules(host("debian11-5.10")) == ["vmlinux"]
    assert {"vmlinux", "9p", "fuse"} <= set(btf.modules(host("debian12-6.1")))


def test_a_kernel_is_searched_by_what_functions_take_return_and_hold() -> None:
    table = kernel("debian12-6.1")
    takes_sock = table.functions_with("sock")
    assert {"tcp_sendmsg", "sk_clone_lock", "tcp_v4_rcv"} & set(takes_sock) == {"tcp_sendmsg", "sk_clone_lock"}
    assert takes_sock == sorted(takes_sock)
    assert set(table.functions_with("struct sock *")) < set(takes_sock)
    assert "sk_clone_lock" in table.functions_with("const struct sock *")
    assert "__alloc_pages" in table.functions_with("gfp_t")
    assert "sk_clone_lock" in table.functions_returning("struct sock*")
    assert "vfs_read" in table.functions_returning("ssize_t")
    assert table.functions_with("no_such_struct") == []
    assert "struct task_struct" in table.structs_with_field("real_parent")
    assert {"atomic_t", "atomic64_t"} <= set(table.structs_with_field("counter"))
    assert table.structs_with_field("no_such_field") == []


def test_the_search_by_type_agrees_with_every_prototype() -> None:
    table = kernel("debian12-6.1")
    types = {name: [text for _, text, _ in table.parameters(name)] for name in table.functions()}
    plain = re.compile(r"(const |volatile )*struct sk_buff *[* ]*(const|restrict)?")
    assert {name for name, texts in types.items() if any(map(plain.fullmatch, texts))} == set(
        table.functions_with("struct sk_buff")
    )


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        ("vfs_read", None),
        ("sk_getsockopt", Prototype(5, 7, False, True, False, False)),
        ("pfn_is_nosave", None),
        ("vprintk_emit", None),
        ("_printk", Prototype(1, 1, True, False, False, False)),
        ("kill_pid_usb_asyncio", Prototype(5, 5, False, False, True, False)),
        ("ZSTD_createDCtx_advanced", Prototype(1, 3, False, False, False, True)),
        ("ZSTD_dParam_getBounds", Prototype(1, 1, False, False, False, True)),
        ("ip_append_data", Prototype(9, 9, False, False, False, False)),
    ],
)
def test_what_fentry_may_be_refused_for(function: str, wanted: Prototype | None) -> None:
    found = dict(kernel("debian12-6.1").prototypes(6).functions())
    assert found.get(function) == wanted
    assert kernel("debian12-6.1").function_id(function) is not None


def test_whether_structures_are_passed_on_shows_in_the_types() -> None:
    assert [kernel(name).passes_structures() for name in HOSTS] == [False, True]
    assert sample("little").passes_structures() is None


def test_variadic_functions_end_in_dots() -> None:
    signature = kernel("debian12-6.1").function("snprintf")
    assert signature is not None
    assert signature.variadic
    assert signature.prototype == "int snprintf(char * buf, size_t size, const char * fmt, ...)"
    assert kernel("debian12-6.1").bpftrace_arguments("snprintf")[-2:] == [("void", ""), ("int", "retval")]


# The compiled sample: tests/fixtures/btf/sample.c, in both byte orders

BOTH_ORDERS = pytest.mark.parametrize("order", ["little", "big"])

NODE = """\
struct node {
	struct node *next;                               /*     0     8 */
	struct {
		u32 low;                                 /*     8     4 */
		union {
			u64 key;                         /*    16     8 */
			struct {
				char bytes[3];           /*    16     3 */
				enum tiny tiny;          /*    19     1 */
				struct point points[4];  /*    20    16 */
			};                               /*    16    20 */
		};                                       /*    16    24 */
	};                                               /*     8    32 */
	int (*compare)(const struct node *, const void *, int (*)(void *)); /*    40     8 */
	void (* const *hooks[2])(struct node *, ...);    /*    48    16 */
	char names[4][16];                               /*    64    64 */
	const char * volatile const label;               /*   128     8 */
	char __attribute__((btf_type_tag("user"))) *where; /*   136     8 */
	union number value;                              /*   144    16 */
	struct unknown *opaque;                          /*   160     8 */
	struct {
		int a;                                   /*   168     4 */
	} inner;                                         /*   168     4 */
	struct {
		int a;                                   /*   176     4 */
	} *other;                                        /*   176     8 */
	enum {
		OFF = 0,
		ON = 1,
	} state;                                         /*   184     4 */
	unsigned char __hole1[4];
	int aligned;                                     /*   192     4 */
	struct packet last;                              /*   196    17 */
	long rest[0];                                    /*   216     0 */
	unsigned char __hole2[40];
	/* size: 256 */
};"""


@BOTH_ORDERS
def test_a_struct_is_printed_as_c_with_offsets_and_sizes(order: str) -> None:
    assert sample(order).c_text("struct node", comments=True) == NODE
    plain = re.sub(r" */\*[^/]*\*/", "", NODE).replace("\t\n", "")
    assert sample(order).c_text("struct node") == plain


@BOTH_ORDERS
def test_other_definitions_are_printed_as_c(order: str) -> None:
    text = sample(order).c_text
    assert text("union number") == "union number {\n\tint whole;\n\tfloat part;\n\tdouble parts[2];\n};"
    assert text("enum tiny") == "enum tiny {\n\tSMALL = 0,\n\tSMALLER = 1,\n} __attribute__((mode(byte)));"
    assert text("compare_t") == "typedef int (*compare_t)(const struct node *, const void *);"
    assert text("atomic_t") == "typedef struct {\n\tint counter;\n} atomic_t;"
    assert text("packet").endswith("\tu64 stamp;\n} __attribute__((packed));")


@BOTH_ORDERS
def test_bitfields_have_their_place_in_bits(order: str) -> None:
    members = sample(order).layout("struct flags").members
    assert [(m.name, m.type, m.offset, m.size, m.bitfield_size) for m in members] == [
        ("first", "u32", 0, 4, 1),
        ("second", "u32", 1, 4, 7),
        ("third", "int", 8, 4, 3),
        ("fourth", "u32", 16, 4, 16),
        ("fifth", "bool", 32, 1, 1),
        ("sixth", "u64", 64, 8, 40),
    ]
    with pytest.raises(Refused, match="is a bitfield"):
        sample(order).member_offset("flags", "second")


@BOTH_ORDERS
@pytest.mark.parametrize(
    ("path", "offset"),
    [
        ((), 0),
        (("key",), 16),
        (("tiny",), 19),
        (("points", "y"), 22),
        (("inner", "a"), 168),
        (("value", "parts"), 144),
        (("last", "at", "y"), 203),
    ],
)
def test_an_offset_is_found_through_anonymous_and_embedded_structs(
    order: str, path: tuple[str, ...], offset: int
) -> None:
    assert sample(order).member_offset("node", *path) == offset
    assert sample(order).member_offset("struct node", *path) == offset


@pytest.mark.parametrize(
    ("name", "path"), [("no_such", ("x",)), ("node", ("no_such",)), ("node", ("next", "next")), ("node", ("low", "x"))]
)
def test_what_is_not_there_is_missing(name: str, path: tuple[str, ...]) -> None:
    with pytest.raises(Missing):
        sample("little").member_offset(name, *path)
    assert sample("little").has_member("node", "tiny")
    assert not sample("little").has_member("node", "no_such")
    assert not sample("little").has_member("no_such", "tiny")
    assert sample("little").function("no_such") is None
    assert sample("little").parameters("no_such") == []
    assert sample("little").enum("no_such") is None
    for ask in (sample("little").layout, sample("little").c_text):
        with pytest.raises(Missing):
            ask("struct no_such")
    with pytest.raises(Missing, match="has no members"):
        sample("little").layout("enum color")


@BOTH_ORDERS
def test_enums_are_signed_as_they_were_declared(order: str) -> None:
    assert sample(order).enum("signed_color") == {"NONE": -1, "SOME": 7}
    assert sample(order).enum("enum color") == {"RED": 0, "GREEN": 5, "BLUE": 6}
    assert sample(order).enum("node") is None


@BOTH_ORDERS
def test_a_prototype_is_written_as_c(order: str) -> None:
    written = {name: sample(order).function(name) for name in sample(order).functions()}
    assert {name: signature.prototype for name, signature in written.items() if signature} == {
        "sum": "int sum(struct node * restrict a, const struct node * b, compare_t compare, enum color color)",
        "find": "struct node * find(struct node ** where, atomic_t * count, char * name)",
        "nothing": "void nothing(void)",
    }


@BOTH_ORDERS
def test_an_argument_opens_into_its_members(order: str) -> None:
    table = sample(order)
    (name, type_text, type_id), *_ = table.parameters("sum")
    assert (name, type_text) == ("a", "struct node * restrict")
    layout = table.resolve(type_id)
    assert layout == table.layout("struct node")
    assert isinstance(layout, Layout)
    assert (layout.kind, layout.name, layout.size) == ("struct", "node", 256)
    opened = {member.name: table.resolve(member.type_id) for member in layout.members}
    assert opened["next"] == layout
    assert opened["opaque"] is None
    assert opened["names"] is None
    inner, value = opened["inner"], opened["value"]
    assert inner is not None
    assert value is not None
    assert (inner.kind, inner.name, [m.name for m in inner.members]) == ("struct", "", ["a"])
    assert (value.kind, value.name) == ("union", "number")
    anonymous = layout.members[1]
    assert (anonymous.name, anonymous.type, anonymous.offset, anonymous.size) == ("", "struct {...}", 64, 32)


# Bytes that we write


def test_the_kinds_that_the_compiler_did_not_write_are_read() -> None:
    writer = Writer()
    long = writer.add(Kind.INT, "long unsigned int", 4, 32)
    word = writer.string
    writer.add(Kind.ENUM64, "wide", 8, word("A"), 0xFFFFFFFF, 0x12345678, vlen=1)
    writer.add(Kind.ENUM64, "signed", 8, word("B"), 0xFFFFFFFE, 0xFFFFFFFF, vlen=1, flag=True)
    writer.add(Kind.ENUM, "top", 4, word("C"), 0xFFFFFFFF, vlen=1)
    tag = writer.add(Kind.TYPE_TAG, "address_space(1)", long, flag=True)
    pointer = writer.add(Kind.PTR, "", tag)
    union = writer.add(Kind.FWD, "later", 0, flag=True)
    lone = writer.add(Kind.FUNC_PROTO, "", 0, 0, 0, vlen=1)
    holder = writer.struct("holder", 12, ("p", pointer, 0), ("q", pointer, 32), ("e", long, 64))
    table = Btf.parse(writer.bytes())
    assert table.enum("wide") == {"A": 0x12345678FFFFFFFF}
    assert table.enum("signed") == {"B": -2}
    assert table.enum("top") == {"C": 0xFFFFFFFF}
    assert table.c_declaration(pointer, "x") == "long unsigned int __attribute__((address_space(1))) *x"
    assert table.c_declaration(union) == "union later"
    assert table.c_declaration(lone, "old") == "void old(void)"
    assert table.size(pointer) == 4
    assert table.c_text("holder").count("__hole") == 0
    assert table.resolve(holder) == table.layout("holder")


def test_enums_without_any_sign_flag_are_signed() -> None:
    """Before the flag existed, `btf_enum.val` was read as __s32."""
    writer = Writer()
    writer.add(Kind.ENUM, "e", 4, writer.string("NONE"), 0xFFFFFFFF, vlen=1)
    assert Btf.parse(writer.bytes()).enum("e") == {"NONE": -1}


@pytest.mark.parametrize("kind", [0, 20, 31])
def test_an_unknown_kind_is_named_with_its_place(kind: int) -> None:
    writer = Writer()
    writer.add(Kind.INT, "int", 4, 32)
    writer.add(kind, "new")
    with pytest.raises(Damaged, match=f"unknown kind {kind} at byte 16 "):
        Btf.parse(writer.bytes())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x9f\xeb",
        b"\x7fELF" + bytes(60),
        bytes(10_000_000),
        b"\x9f\xeb\x02\x00" + bytes(20),
        b"\x9f\xeb\x01\x00" + bytes(20),
        struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0xFFFFFFFC, 0, 1) + b"\0",
        struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, 0, 0, 2) + b"\0x",
    ],
)
def test_bytes_that_are_not_btf_are_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        Btf.parse(data)


def test_a_cut_file_is_damaged_wherever_it_is_cut() -> None:
    data = (FIXTURES / "btf" / "sample-little.btf").read_bytes()
    for end in range(len(data)):
        with pytest.raises(Damaged):
            Btf.parse(data[:end])


def circle_of_typedefs(writer: Writer) -> int:
    first = writer.next_id
    writer.add(Kind.TYPEDEF, "a", first + 1)
    writer.add(Kind.CONST, "", first)
    return writer.struct("s", 4, ("m", first, 0))


def function_of_a_circle(writer: Writer) -> int:
    first = writer.next_id
    writer.add(Kind.TYPEDEF, "a", first + 1)
    writer.add(Kind.TYPEDEF, "b", first)
    writer.function("f", first, ("x", first))
    return writer.struct("s", 4, ("m", first, 0))


def pointer_to_itself(writer: Writer) -> int:
    return writer.add(Kind.PTR, "", writer.next_id)


def struct_in_itself(writer: Writer) -> int:
    return writer.struct("s", 4, ("", writer.next_id, 0), ("", writer.next_id, 0))


def nested_structs(writer: Writer) -> int:
    inner = writer.struct("", 1)
    for _ in range(2000):
        inner = writer.struct("", 1, ("", inner, 0), ("", inner, 0))
    return writer.struct("s", 1, ("", inner, 0))


def nested_prototypes(writer: Writer) -> int:
    inner = writer.add(Kind.INT, "int", 4, 32)
    for _ in range(30):
        pointer = writer.add(Kind.PTR, "", inner)
        inner = writer.add(Kind.FUNC_PROTO, "", 0, 0, pointer, 0, pointer, vlen=2)
    return inner


@pytest.mark.parametrize(
    "build",
    [circle_of_typedefs, function_of_a_circle, pointer_to_itself, struct_in_itself, nested_structs, nested_prototypes],
)
def test_types_that_lead_in_circles_or_too_deep_are_damaged(build: Callable[[Writer], int]) -> None:
    writer = Writer()
    type_id = build(writer)
    table = Btf.parse(writer.bytes())
    with pytest.raises(Damaged):
        btf_c_definition(table, type_id)
    ask_everything(table)


def test_an_absurd_number_of_members_is_damaged() -> None:
    writer = Writer()
    writer.add(Kind.STRUCT, "s", 4, vlen=0xFFFF)
    with pytest.raises(Damaged, match="runs past the end"):
        Btf.parse(writer.bytes())


def btf_c_definition(table: Btf, type_id: int) -> str:
    row = table.row(type_id)
    return table.c_text(row.name) if row.name else table.c_declaration(type_id)


def ask_everything(table: Btf) -> None:
    """Every question about every type; only our own errors may come out."""
    for name in ("s", "node", "flags", "p9_fid", "fuse_conn"):
        for ask in (table.layout, table.c_text, table.enum, table.functions_with, table.functions_returning):
            with suppress(TraceScopeError):
                ask(name)
        with suppress(TraceScopeError):
            table.member_offset(name, "m", "key")
    with suppress(TraceScopeError):
        table.structs_with_field("key")
    for type_id in range(table.first, table.end):
        with suppress(TraceScopeError):
            table.c_declaration(type_id, "x")
        with suppress(TraceScopeError):
            table.resolve(type_id)
        with suppress(TraceScopeError):
            btf_c_definition(table, type_id)
    with suppress(TraceScopeError):
        for name in table.functions():
            table.function(name)
            table.bpftrace_arguments(name)


CHANGES = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=8)


def changed(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    broken = bytearray(data)
    for place, value in changes:
        broken[place % len(broken)] = value
    return bytes(broken)


@given(changes=CHANGES)
def test_changed_bytes_raise_nothing_but_our_errors(changes: list[tuple[int, int]]) -> None:
    data = (FIXTURES / "btf" / "sample-little.btf").read_bytes()
    with suppress(TraceScopeError):
        ask_everything(Btf.parse(changed(data, changes)))


@settings(max_examples=15)
@given(changes=CHANGES)
def test_changed_bytes_of_a_module_raise_nothing_but_our_errors(changes: list[tuple[int, int]]) -> None:
    data = host("debian12-6.1").read("/sys/kernel/btf/9pnet_virtio")
    with suppress(TraceScopeError):
        ask_everything(Btf.parse(changed(data, changes), kernel("debian12-6.1")))


@given(data=st.binary(max_size=200))
def test_random_types_raise_nothing_but_our_errors(data: bytes) -> None:
    types = data[: len(data) // 4 * 4]
    header = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), 1)
    with suppress(TraceScopeError):
        ask_everything(Btf.parse(header + types + b"\0"))


LENGTHS = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1}
ENTRIES = {Kind.STRUCT: 3, Kind.UNION: 3, Kind.ENUM: 2, Kind.FUNC_PROTO: 2, Kind.DATASEC: 3, Kind.ENUM64: 3}
TYPES = st.tuples(
    st.sampled_from(list(Kind)[1:]),
    st.text("abc\u00e9\n", max_size=5),
    st.integers(0, 2**32 - 1),
    st.integers(0, 4),
    st.booleans(),
    st.integers(0, 12),
)


@given(rows=st.lists(TYPES, max_size=12), order=st.sampled_from("<>"), split=st.integers(0, 12))
def test_what_is_written_is_read_again(
    rows: list[tuple[Kind, str, int, int, bool, int]], order: str, split: int
) -> None:
    base, table = Writer(order), None
    writer = base
    wanted = []
    for place, (kind, name, value, vlen, flag, word) in enumerate(rows):
        if place == split:
            table, writer = Btf.parse(base.bytes()), Writer(order, base)
        words = [word] * (LENGTHS.get(kind, 0) + ENTRIES.get(kind, 0) * vlen)
        type_id = writer.add(kind, name, value, *words, vlen=vlen, flag=flag)
        wanted.append((type_id, kind, name, flag, value, words))
    table = Btf.parse(writer.bytes(), table)
    assert table.end == len(rows) + 1
    got = [(i, *table.row(i)[:4], table.row(i).words.tolist()) for i in range(1, table.end)]
    assert got == wanted
    for kind in Kind:
        own = [row for row in wanted if row[1] is kind and row[0] >= table.first]
        assert list(table.ids(kind)) == [row[0] for row in own]
        assert set(table.names(kind)) == {row[2] for row in own if row[2]}
    with suppress(TraceScopeError):
        ask_everything(table)

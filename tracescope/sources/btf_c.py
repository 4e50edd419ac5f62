"""BTF types written as C: declarations as libbpf writes them, definitions that compile to the same layout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tracescope.errors import Damaged
from tracescope.sources.btf_types import LONGEST_CHAIN, THROUGH_NAMES, Kind, RawMember, Row, TypeTable, circular

__all__ = ("declaration", "definition")

_TAGS = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}
# An enum of another size than `int`, as the kernel declares one: by machine mode.
_MODES = {1: "byte", 2: "HI", 8: "DI"}
_STRUCTS = (Kind.STRUCT, Kind.UNION)
_ELEMENTS = THROUGH_NAMES | {Kind.ARRAY}
# A declaration longer than this comes from damaged BTF: prototypes nested in prototypes double its length each time.
_LONGEST_TEXT = 1 << 12
_LONGEST_DEFINITION = 1 << 18
_COMMENT_COLUMN = 56
_DEEPEST = 32


def declaration(types: TypeTable, type_id: int, name: str = "") -> str:
    """A C declaration of `name`, or the bare type: `int (*fn)(struct device *, void *)`.

    A nameless struct is `struct {...}`. Raises Damaged for what cannot be declared.
    """
    row = types.row(type_id)
    if row.kind in (Kind.FUNC, Kind.VAR):
        return _Writer(types).declare(row.value, name or row.name)
    return _Writer(types).declare(type_id, name)


def definition(types: TypeTable, type_id: int, *, comments: bool = False) -> str:
    """A struct, union, enum or typedef in full, ending in `;`; with comments, each member's byte offset and size."""
    row = types.row(type_id)
    writer = _Definition(types, comments=comments)
    if row.kind is Kind.TYPEDEF:
        return f"typedef {writer.declare(row.value, row.name)};"
    return f"{writer.body(type_id, row)};"


def _join(left: str, right: str) -> str:
    return f"{left} {right}" if right and not right.startswith("[") else left + right


class _Writer:
    """Declarations from the inside out: the name first, then what is around it."""

    def __init__(self, types: TypeTable) -> None:
        self._types = types
        self._depth = 0

    def declare(self, type_id: int, inner: str = "") -> str:
        """`inner` is the declarator so far; it grows to the left by `*`, to the right by `[]` and `()`."""
        before: list[str] = []
        after: list[str] = []
        pointer = False
        for _ in range(LONGEST_CHAIN):
            row = self._types.row(type_id)
            match row.kind:
                case Kind.CONST | Kind.VOLATILE | Kind.RESTRICT:
                    before.insert(0, row.kind.name.lower())
                case Kind.TYPE_TAG:
                    text = row.name if row.flag else f'btf_type_tag("{row.name}")'
                    after.insert(0, f"__attribute__(({text}))")
                case Kind.PTR:
                    words = ["*", *before, *after]
                    inner = _join(" ".join(words), inner) if len(words) > 1 else f"*{inner}"
                    before, after, pointer = [], [], True
                case Kind.ARRAY | Kind.FUNC_PROTO:
                    inner = f"({inner})" if pointer else inner
                    inner += f"[{row.words[2]}]" if row.kind is Kind.ARRAY else f"({self._parameters(row)})"
                    pointer = False
                case _:
                    return _join(" ".join([*before, self.base(type_id, row), *after]), inner)
            type_id = row.words[0] if row.kind is Kind.ARRAY else row.value
        raise circular(type_id)

    def base(self, type_id: int, row: Row) -> str:
        """What a declaration starts with."""
        if row.kind in _TAGS:
            return f"{_TAGS[row.kind]} {row.name or '{...}'}"
        if row.kind is Kind.FWD:
            return f"{'union' if row.flag else 'struct'} {row.name}"
        if row.kind in (Kind.VOID, Kind.INT, Kind.FLOAT, Kind.TYPEDEF):
            return row.name
        raise Damaged("the BTF is damaged", f"type {type_id} ({row.kind.name}) is used where C wants a type")

    def _parameters(self, proto: Row) -> str:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Damaged("the BTF is damaged", "a function prototype is nested in itself")
        types = proto.words[1::2].tolist()
        texts: list[str] = []
        room = _LONGEST_TEXT
        for place, type_id in enumerate(types):
            texts.append("..." if place and not type_id else self.declare(type_id))
            room -= len(texts[-1])
            if room < 0:
                raise Damaged("the BTF is damaged", f"a declaration is longer than {_LONGEST_TEXT} characters")
        self._depth -= 1
        return ", ".join(texts)


class _Definition(_Writer):
    """Opens the anonymous structs, unions and enums that a definition contains.

    Alignment attributes are not in BTF: what they moved is held in place by members named `__holeN`, and a struct whose
    members do not lie at their natural alignment is packed.
    """

    def __init__(self, types: TypeTable, *, comments: bool) -> None:
        super().__init__(types)
        self._comments = comments
        self._open: list[int] = []
        self._holes = 0
        self._shapes: dict[int, tuple[bool, int]] = {}
        self._origin = 0
        """Where the struct being written lies in the outermost one, in bits."""

    def base(self, type_id: int, row: Row) -> str:
        if row.kind in _TAGS and not row.name:
            return self.body(type_id, row)
        return super().base(type_id, row)

    def body(self, type_id: int, row: Row) -> str:
        """A tag, the name if there is one, and all between the braces."""
        if row.kind in _STRUCTS:
            packed, alignment = self._shape(type_id, row)
            with self._opened(type_id):
                lines = [*self._member_lines(row, packed=packed, alignment=alignment)]
            after = " __attribute__((packed))" if packed else ""
        elif row.kind in _TAGS:
            lines = [f"{name} = {value}," for name, value in self._types.enumerators(row)]
            after = f" __attribute__((mode({_MODES[row.value]})))" if row.value in _MODES else ""
        else:
            raise Damaged("the BTF is damaged", f"type {type_id} ({row.kind.name}) has no definition")
        inside = "".join(f"\t{line}\n" for text in lines for line in text.split("\n"))
        if len(inside) > _LONGEST_DEFINITION:
            raise Damaged("the BTF is damaged", f"a definition is longer than {_LONGEST_DEFINITION} characters")
        return f"{_TAGS[row.kind]} {row.name}{' ' if row.name else ''}{{\n{inside}}}{after}"

    @contextmanager
    def _opened(self, type_id: int) -> Iterator[None]:
        if type_id in self._open or len(self._open) > _DEEPEST:
            raise Damaged("the BTF is damaged", f"type {type_id} contains itself")
        self._open.append(type_id)
        yield
        self._open.pop()

    def _member_lines(self, row: Row, *, packed: bool, alignment: int) -> Iterator[str]:
        origin, end = self._origin, 0
        for member in self._types.members(row):
            if row.kind is Kind.STRUCT and self._natural(end, member, packed=packed) < member.offset:
                yield from self._hole(end, member.offset)
            self._origin = origin + member.offset
            text = self.declare(member.type_id, member.name) + (f":{member.bits}" if member.bits else "") + ";"
            self._origin = origin
            yield self._commented(text, member, origin) if self._comments else text
            end = max(end, member.offset + (member.bits or self._types.size(member.type_id) * 8))
        if _round_up(end, alignment) < row.value * 8:
            yield from self._hole(end if row.kind is Kind.STRUCT else 0, row.value * 8)
        if self._comments and len(self._open) == 1:
            yield f"/* size: {row.value} */"

    def _commented(self, text: str, member: RawMember, origin: int) -> str:
        """Offset and size in bytes as pahole writes them, in one column at any depth; a bitfield as `byte:bit`."""
        start = origin + member.offset
        place = (
            f"{start // 8:5}:{start % 8:<5}" if member.bits else f"{start // 8:5} {self._types.size(member.type_id):5}"
        )
        last_line = text.rpartition("\n")[2]
        return f"{text}{' ' * (_COMMENT_COLUMN - 8 * len(self._open) - len(last_line))} /* {place} */"

    def _hole(self, start: int, end: int) -> Iterator[str]:
        """Padding from bit to bit."""
        first, last = -(-start // 8), end // 8
        if first > last:
            yield f"unsigned char : {end - start};"
            return
        if start % 8:
            yield f"unsigned char : {8 - start % 8};"
        if first < last:
            self._holes += 1
            yield f"unsigned char __hole{self._holes}[{last - first}];"
        if end % 8:
            yield f"unsigned char : {end % 8};"

    def _natural(self, end: int, member: RawMember, *, packed: bool) -> int:
        """Where the compiler puts a member after `end`, in bits."""
        if not member.bits:
            return _round_up(end, 8 if packed else self._alignment(member.type_id))
        if packed or not self._crosses(end, member):
            return end
        return _round_up(end, self._types.size(member.type_id) * 8)

    def _crosses(self, start: int, member: RawMember) -> bool:
        """True when a bitfield at `start` would not lie in one unit of its type."""
        unit = self._types.size(member.type_id) * 8
        return unit > 0 and start // unit != (start + member.bits - 1) // unit

    def _shape(self, type_id: int, row: Row) -> tuple[bool, int]:
        """Is a struct packed (a member, or the end, not where it would lie by itself), and its alignment in bits."""
        if type_id not in self._shapes:
            widest, packed = 8, False
            with self._opened(type_id):
                for member in self._types.members(row):
                    alignment = self._alignment(member.type_id)
                    packed |= self._crosses(member.offset, member) if member.bits else member.offset % alignment != 0
                    widest = max(widest, alignment)
            packed |= row.value * 8 % widest != 0
            self._shapes[type_id] = packed, 8 if packed else widest
        return self._shapes[type_id]

    def _alignment(self, type_id: int) -> int:
        """The natural alignment of a type, in bits."""
        type_id = self._types.strip(type_id, _ELEMENTS)
        row = self._types.row(type_id)
        if row.kind in _STRUCTS:
            return self._shape(type_id, row)[1]
        size = self._types.size(type_id) or 1
        return min(size & -size, 16) * 8


def _round_up(bits: int, step: int) -> int:
    return -(-bits // step) * step

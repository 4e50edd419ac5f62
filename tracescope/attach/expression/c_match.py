"""C functions that compare a text in memory with one that is known: one for each text of an expression. Pure.

What is known becomes 64-bit words; what is in memory is copied to as many words on the stack, never more than 72 bytes.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from tracescope.attach.expression.chain import Located
from tracescope.attach.expression.literals import LONGEST_TEXT, MAX_LENGTH
from tracescope.attach.expression.types import Space, Text

__all__ = ("Function", "Functions")

_WORD_BYTES = 8

_LOADS = """
static inline u32 %(name)s(char *text)
{
    return %(condition)s;
}
"""

_ARRAY = """
static inline u32 %(name)s(u64 address, u32 *failed)
{
    u64 text[%(words)d] = {};

    if (bpf_probe_read_%(space)s(text, %(size)d, (void *)address)) {
        *failed = 1;
        return 0;
    }
    return %(condition)s;
}
"""

_POINTED = """
static inline u32 %(name)s(u64 address, u32 *failed)
{
    u64 text[%(words)d] = {};
    int size = bpf_probe_read_%(space)s_str(text, %(size)d, (void *)address);

    if (size < 0)
        *failed = 1;
    return size == %(wanted)d && %(condition)s;
}
"""

_END = """
static inline u32 %(name)s(u64 address, u32 *failed)
{
    u64 text[%(words)d] = {};
    u32 length = ts_%(space)s_length(address, %(most)d, failed);

    if (length < %(least)d)
        return 0;
    if (bpf_probe_read_%(space)s(text, %(size)d, (void *)(address + ((length - %(size)d) & 511)))) {
        *failed = 1;
        return 0;
    }
    return %(condition)s;
}
"""

_BOTH = """
static inline u32 %(name)s(u64 first, u64 second, u32 *failed)
{
    u64 one[%(words)d] = {}, other[%(words)d] = {};

    if (bpf_probe_read_%(space)s_str(one, %(size)d, (void *)first) < 0 ||
        bpf_probe_read_%(other_space)s_str(other, %(other_size)d, (void *)second) < 0) {
        *failed = 1;
        return 0;
    }
    return %(condition)s;
}
"""


class Function(NamedTuple):
    """A function: with `loads` it takes `char *`, else each address as u64 and the flag of what failed."""

    name: str
    loads: bool = False


class Functions:
    """The functions of one expression, each once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made: dict[str, Function] = {}

    @property
    def text(self) -> str:
        """Their definitions."""
        return "".join(body.replace("%(name)s", function.name) for body, function in self._made.items())

    def _function(self, template: str, **values: object) -> Function:
        body = template % {"name": "%(name)s", **values}
        fresh = Function(f"{self._prefix}_text{len(self._made)}", loads=template is _LOADS)
        return self._made.setdefault(body, fresh)

    def same(self, text: Located, data: bytes) -> Function:
        """Compares the whole text."""
        type_, count = _text(text), len(data)
        if type_.size is not None and count < type_.size:
            return self._begin(type_, data + b"\0")
        if type_.size is not None:
            return self._begin(type_, data)
        size = count + 2
        return self._function(_POINTED, space=_reader(type_), size=size, wanted=count + 1, **_words(data, size))

    def match(self, text: Located, prefix: bytes, suffix: bytes) -> list[Function]:
        """Compare the beginning and the end: all must hold."""
        type_ = _text(text)
        found = [self._begin(type_, prefix)] if prefix else []
        if suffix:
            size, least = len(suffix), len(prefix) + len(suffix)
            most = type_.size if type_.size is not None and type_.size <= MAX_LENGTH else MAX_LENGTH + 1
            words = _words(suffix, size)
            found.append(self._function(_END, space=_reader(type_), size=size, most=most, least=least, **words))
        return found

    def _begin(self, type_: Text, data: bytes) -> Function:
        """Compares the first bytes; of an array all of them are there."""
        space, size = _reader(type_), len(data)
        if type_.space is Space.OWN:
            return self._function(_LOADS, condition=_loads(data, type_.align))
        if type_.size is not None:
            return self._function(_ARRAY, space=space, size=size, **_words(data, size))
        return self._function(_POINTED, space=space, size=size + 1, wanted=size + 1, **_words(data, size + 1))

    def same_texts(self, left: Located, right: Located) -> Function:
        """Compares two arrays up to their NUL."""
        one, other = _text(left), _text(right)
        sizes = [min(side.size or LONGEST_TEXT, LONGEST_TEXT) + 1 for side in (one, other)]
        words = -(-max(sizes) // _WORD_BYTES)
        return self._function(
            _BOTH, words=words, space=_reader(one), other_space=_reader(other), size=sizes[0], other_size=sizes[1],
            condition=" && ".join(f"one[{word}] == other[{word}]" for word in range(words)),
        )  # fmt: skip


def _text(text: Located) -> Text:
    assert isinstance(text.type, Text)
    return text.type


def _reader(type_: Text) -> str:
    """The helper's word for the memory; the program's own is kernel memory."""
    return "user" if type_.space is Space.USER else "kernel"


def _words(data: bytes, room: int) -> dict[str, object]:
    """How many words hold `room` bytes, and the condition that they begin with `data`."""
    terms = []
    for at in range(0, len(data), _WORD_BYTES):
        part = data[at : at + _WORD_BYTES]
        value = int.from_bytes(part.ljust(_WORD_BYTES, b"\0"), sys.byteorder)
        mask = int.from_bytes((b"\xff" * len(part)).ljust(_WORD_BYTES, b"\0"), sys.byteorder)
        word = f"text[{at // _WORD_BYTES}]"
        terms.append(
            f"{word} == {value:#x}ULL" if len(part) == _WORD_BYTES else f"({word} & {mask:#x}ULL) == {value:#x}ULL"
        )
    return {"words": -(-room // _WORD_BYTES), "condition": " && ".join(terms) or "1"}


def _loads(data: bytes, align: int) -> str:
    """The condition that the bytes at `text` are these, in few loads; its address is a multiple of `align`."""
    terms, at = [], 0
    while at < len(data):
        width = next(width for width in (8, 4, 2, 1) if width <= min(align, len(data) - at) and at % width == 0)
        value = int.from_bytes(data[at : at + width], sys.byteorder)
        terms.append(f"*(u{8 * width} *)(text + {at}) == {value:#x}{'ULL' if width == 8 else 'U'}")
        at += width
    return " && ".join(terms)

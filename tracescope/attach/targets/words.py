"""C expressions for what a probe carries: out of the context, or out of what was kept for the end. Pure."""

from __future__ import annotations

import re

from tracescope.attach.targets import registers
from tracescope.attach.targets.operand import operand_text
from tracescope.attach.targets.target import Shape, Target, UserPlace, UserSite
from tracescope.model import Field, ProbeKind

__all__ = ("KEPT", "copy_text", "field_value", "load", "result_value", "word_value")

KEPT = "begun->raw"
"""Where the words of an entry are when its end is reached."""
_RECORDS = (Shape.RECORD, Shape.SYSCALL, Shape.EXEC)
_WORD = 8
_LOADED = re.compile(
    r"(const )?(struct|union) \w+ \*(const)?|void \*"
    r"|(long|unsigned|int|signed| )+|(u_?)?int64_t|_*[us]64|s?size_t|loff_t|sector_t|dma_addr_t"
)
_READ = "({ u64 word_ = 0; bpf_probe_read_kernel(&word_, 8, ctx + %d); word_; })"


def load(field: Field) -> str:
    """An expression that reads a 4-byte field from the tracepoint's record."""
    return f"*(u32 *)((char *)ctx + {field.offset})"


def word_value(target: Target, index: int) -> str:
    """The word number `index` of what the probe carries, as the program finds it."""
    match target.shape:
        case Shape.WORDS:
            return f"ctx[{index}]" if _given(target, index) else _READ % index
        case Shape.REGISTERS:
            return f"ctx[{registers.argument_word(index)}]"
        case Shape.RESULT:
            return f"ctx[{registers.result_word()}]"
        case Shape.SAMPLE:
            return f"ctx[{registers.sample_words()[index]}]"
    return f"ctx[{index + 1}]"


def _given(target: Target, index: int) -> bool:
    """True for a word that the verifier lets a program load; false for a pointer to what it has no type for.

    Source: btf_ctx_access() in kernel/bpf/btf.c: which pointers those are changes from one kernel to the next (6.1
    refuses `const void *`), but structures, plain `void` and what is no pointer are taken by all.
    """
    if target.kind not in (ProbeKind.FENTRY, ProbeKind.FEXIT):
        return True
    at = _WORD * (index + 1)
    return all(_LOADED.fullmatch(field.type) for field in target.format.fields if (field.offset, field.size) == (at, 8))


def field_value(target: Target, field: Field, *, kept: bool = False) -> str:
    """A field of up to 8 bytes in its own type, out of the context or, at the end of a call, out of what was kept."""
    type_ = f"{'s' if field.signed else 'u'}{8 * field.size}"
    if kept:
        return f"*({type_} *)((char *){KEPT} + {field.offset - _WORD})"
    if target.shape in _RECORDS:
        return f"*({type_} *)((char *)ctx + {field.offset})"
    return f"({type_}){word_value(target, field.offset // _WORD - 1)}"


def result_value(target: Target) -> str:
    """What a function or system call returns, at its end."""
    (field,) = (field for field in target.format.fields if field.name == "ret")
    return f"(s64){word_value(target, field.offset // _WORD - 1)}"


def copy_text(target: Target, size: int, destination: str = "record->raw") -> str:
    """Statements that copy the `size` bytes that the probe carries; of a tracepoint's record never past its end."""
    if target.shape is Shape.OPERANDS:
        return _operands(target, destination)
    if target.shape not in _RECORDS:
        words = range(-(-size // _WORD))
        return "\n".join(f"    {destination}[{word}] = {word_value(target, word)};" for word in words)
    lines = [f"    {destination}[{word}] = ctx[{word + 1}];" for word in range(size // _WORD)]
    at = size // _WORD * _WORD
    for width in (4, 2, 1):
        if size - at >= width:
            type_ = f"u{8 * width}"
            lines.append(f"    *({type_} *)((char *){destination} + {at}) = *({type_} *)((char *)ctx + {at + _WORD});")
            at += width
    return "\n".join(lines)


def _operands(target: Target, destination: str) -> str:
    """The arguments of a USDT probe: each site may keep them elsewhere, and its number is the cookie."""
    assert isinstance(target.place, UserPlace)
    count, sites = len(target.format.fields), target.place.sites
    if not count:
        return ""
    if len({site.operands[:count] for site in sites}) == 1:
        return _site(sites[0], count, destination)
    cases = "".join(
        f"    case {number}:\n{_site(site, count, destination)}\n        break;\n" for number, site in enumerate(sites)
    )
    return f"    switch (bpf_get_attach_cookie(ctx)) {{\n{cases}    }}"


def _site(site: UserSite, count: int, destination: str) -> str:
    return "\n".join(
        f"    {operand_text(operand, f'{destination}[{word}]')}" for word, operand in enumerate(site.operands[:count])
    )

"""USDT probes of user programs: the notes of type 3, owner `stapsdt`, in section .note.stapsdt.

Source: systemtap's sys/sdt.h and its wiki page UserSpaceProbeImplementation. A note holds three addresses (probe, base,
semaphore) and three texts (provider, name, arguments such as `-4@%edi 8@-8(%rbp)`).
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass

from tracescope.errors import Damaged
from tracescope.printable import decode
from tracescope.sources.elf import ElfFile, open_elf

__all__ = ("UsdtArgument", "UsdtProbe", "parse_arguments", "usdt_notes")

_SIZE = re.compile(r"(?:^|(?<=[ \t]))(-?)(\d{1,2})(f?)@")


@dataclass(frozen=True, slots=True)
class UsdtArgument:
    """One argument: `size` bytes (0 when the note does not say), and the assembler's operand that holds it."""

    size: int
    signed: bool
    expression: str
    floating: bool = False


@dataclass(frozen=True, slots=True)
class UsdtProbe:
    """A probe site. Addresses are link-time ones after prelink's shift; offsets are bytes into the file."""

    provider: str
    name: str
    address: int
    semaphore: int
    """The address of the counter to raise while tracing; 0 when the probe has none."""
    arguments: tuple[UsdtArgument, ...]
    offset: int | None
    semaphore_offset: int | None


def parse_arguments(text: str) -> tuple[UsdtArgument, ...]:
    """The arguments of a note; an operand may hold spaces (`8@[sp, 8]` on arm64)."""
    bare, *parts = _SIZE.split(text.strip())
    found = [UsdtArgument(0, signed=False, expression=operand) for operand in bare.split()]
    for sign, size, floating, operand in zip(*[iter(parts)] * 4, strict=True):
        found.append(UsdtArgument(int(size), bool(sign), operand.strip(), bool(floating)))
    return tuple(found)


def usdt_notes(source: str | os.PathLike[str] | bytes) -> list[UsdtProbe]:
    """The USDT probe sites of a program or library, in the order of the file; a probe may have several sites."""
    with open_elf(source) as elf:
        section = elf.section(".note.stapsdt")
        notes = elf.notes(section) if section else ()
        return [_probe(elf, body) for owner, kind, body in notes if owner == b"stapsdt" and kind == 3]


def _probe(elf: ElfFile, body: bytes) -> UsdtProbe:
    addresses = struct.Struct(elf.order + ("QQQ" if elf.is64 else "III"))
    texts = body[addresses.size :].split(b"\0")
    if len(body) < addresses.size or len(texts) < 3:
        raise Damaged(f"{elf.label} is damaged", "a USDT note is cut")
    address, base, semaphore = addresses.unpack_from(body)
    # prelink moves sections without touching the notes: the base section tells by how much.
    anchor = elf.section(".stapsdt.base")
    shift = anchor.address - base if anchor and elf.linked else 0
    address += shift
    semaphore += shift if semaphore else 0
    provider, name, arguments = map(decode, texts[:3])
    return UsdtProbe(
        provider=provider,
        name=name,
        address=address,
        semaphore=semaphore,
        arguments=parse_arguments(arguments),
        offset=elf.file_offset(address) if elf.linked else None,
        semaphore_offset=elf.file_offset(semaphore) if elf.linked and semaphore else None,
    )

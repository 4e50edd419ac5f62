"""ELF files: headers, sections, notes, symbol tables as rows. Format: the System V gABI, chapter 4.

pyelftools reads the headers, `struct` the symbol tables, which are too long for it. An offset is bytes into the file.
"""

from __future__ import annotations

import errno
import lzma
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tracescope.errors import Damaged, Forbidden, Missing, TraceScopeError
from tracescope.printable import decode

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

__all__ = ("ElfFile", "Section", "build_id", "open_elf", "string_at")

# Bounds on work: the largest section read, the longest name, what pyelftools may read of headers and section names.
_MAX_BYTES = 256 << 20
_MAX_NAME = 1 << 16
_HEADER_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Section:
    """A section header; `size` bytes at `offset` of the file (none in it for NOBITS)."""

    name: str
    type: str
    address: int
    offset: int
    size: int
    link: int
    executable: bool


class _Bounded:
    """A stream that lets pyelftools read a bounded amount: names without an end would take it hours."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.seek, self.tell = stream.seek, stream.tell
        self._read = stream.read
        self._left = _HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise Damaged("the headers do not end", f"over {_HEADER_BYTES >> 20} MiB of them")
        return data


class ElfFile:
    """An open ELF file, its headers read. Every method raises `Damaged` for what cannot be."""

    def __init__(self, stream: IO[bytes], label: str) -> None:
        from elftools.elf.elffile import ELFFile

        self.label = label
        self._stream = stream
        self._size = stream.seek(0, os.SEEK_END)
        with _contained(label):
            elf = ELFFile(_Bounded(stream))  # type: ignore[arg-type]
            self.is64 = elf.elfclass == 64
            self.order = "<" if elf.little_endian else ">"
            self.linked = elf["e_type"] != "ET_REL"
            self.sections = _sections(elf)
            self._loads = [
                (int(head["p_vaddr"]), int(head["p_filesz"]), int(head["p_offset"]))
                for head in (segment.header for segment in elf.iter_segments())
                if head["p_type"] == "PT_LOAD"
            ]

    def section(self, name: str) -> Section | None:
        """The first section of this name."""
        return next((section for section in self.sections if section.name == name), None)

    def data(self, section: Section) -> bytes:
        """The section's bytes as the file has them."""
        if section.type == "SHT_NOBITS":
            return b""
        if section.size > _MAX_BYTES or section.offset + section.size > self._size:
            raise Damaged(f"{self.label} is cut or damaged", f"section {section.name!r} ends after the file")
        self._stream.seek(section.offset)
        return self._stream.read(section.size)

    def file_offset(self, address: int) -> int | None:
        """Where in the file the byte loaded at a link-time address stands; None when no segment loads it."""
        for start, size, offset in self._loads:
            if start <= address < start + size:
                return address - start + offset
        return None

    def notes(self, section: Section) -> Iterator[tuple[bytes, int, bytes]]:
        """The notes of a SHT_NOTE section as (owner, type, body)."""
        data, at = self.data(section), 0
        while at + 12 <= len(data):
            owner_size, body_size, kind = struct.unpack_from(self.order + "III", data, at)
            owner_at = at + 12
            body_at = owner_at + (owner_size + 3) // 4 * 4
            at = body_at + (body_size + 3) // 4 * 4
            if body_at + body_size > len(data):
                raise Damaged(f"{self.label} is damaged", f"a note ends after its section {section.name!r}")
            yield data[owner_at : owner_at + owner_size].rstrip(b"\0"), kind, data[body_at : body_at + body_size]

    def symbol_table(self, section: Section) -> Iterator[tuple[str, int, int, int, int, int]]:
        """Rows (name, info, other, section index, value, size) of SHT_SYMTAB or SHT_DYNSYM; unnamed ones left out."""
        row = struct.Struct(self.order + ("IBBHQQ" if self.is64 else "IIIBBH"))
        data = self.data(section)
        strings = self.data(self.sections[section.link]) if section.link < len(self.sections) else b""
        # Names may share their ends, so their sum may be larger than the table, in honest files not by much.
        left = 8 * len(strings) + _MAX_NAME
        for fields in row.iter_unpack(data[: len(data) - len(data) % row.size]):
            at, *rest = fields
            if self.is64:
                info, other, index, value, size = rest
            else:
                value, size, info, other, index = rest
            name = string_at(strings, at)
            left -= len(name)
            if left < 0:
                raise Damaged(f"{self.label} is damaged", "its symbol names overlap")
            if name:
                yield name, info, other, index, value, size

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


@contextmanager
def _contained(label: str) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into `Damaged`."""
    try:
        yield
    except TraceScopeError:
        raise
    except Exception as error:  # noqa: BLE001 - pyelftools raises ELFError, KeyError, AssertionError, struct.error, …
        raise Damaged(f"{label} is not a good ELF file", str(error) or type(error).__name__) from None


@contextmanager
def open_elf(source: str | os.PathLike[str] | bytes) -> Iterator[ElfFile]:
    """An ELF file by path, or its bytes; a module compressed with xz or gzip is unpacked in memory.

    Raises `Missing`, `Forbidden`, and `Damaged` for what is no ELF file, in the body of the `with` too.
    """
    stream, label = (BytesIO(source), "the file") if isinstance(source, bytes) else (_open(source), str(source))
    try:
        with _contained(label):
            elf = ElfFile(_unpacked(stream, label), label)
            yield elf
    finally:
        stream.close()


def _open(path: str | os.PathLike[str]) -> IO[bytes]:
    try:
        # A pipe would wait for its writer for ever.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except PermissionError as error:
        fix = "" if os.geteuid() == 0 else "run as root"
        raise Forbidden(f"{path} cannot be read", os.strerror(error.errno or errno.EACCES), fix) from None
    except (FileNotFoundError, NotADirectoryError):
        raise Missing(f"{path} is not there") from None
    except (OSError, ValueError) as error:
        raise Damaged(f"{path} cannot be read", str(error)) from None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Damaged(f"{path} is not an ELF file", "it is not a regular file")
    return open(fd, "rb")


def _unpacked(stream: IO[bytes], label: str) -> IO[bytes]:
    magic = stream.read(6)
    stream.seek(0)
    unpack: Any
    if magic == b"\xfd7zXZ\0":
        unpack = lzma.LZMADecompressor(memlimit=_MAX_BYTES)
    elif magic[:2] == b"\x1f\x8b":
        unpack = zlib.decompressobj(31)
    elif magic[:4] == b"\x28\xb5\x2f\xfd":
        raise Missing(f"{label} is packed with zstd", "Python has no zstd", f"zstd -d {Path(label).name}")
    else:
        return stream
    data = unpack.decompress(stream.read(_MAX_BYTES), _MAX_BYTES)
    if not unpack.eof:
        raise Damaged(f"{label} cannot be unpacked", f"it is cut, or over {_MAX_BYTES >> 20} MiB")
    return BytesIO(data)


def _sections(elf: ELFFile) -> list[Section]:
    found = []
    # 0xffff sections need the extended numbering; no real file comes near.
    for number in range(min(elf.num_sections(), 1 << 16)):
        section = elf.get_section(number)
        head = section.header
        found.append(
            Section(
                name=section.name,
                type=str(head["sh_type"]),
                address=head["sh_addr"],
                offset=head["sh_offset"],
                size=head["sh_size"],
                link=head["sh_link"],
                executable=bool(head["sh_flags"] & 4),
            )
        )
    return found


def string_at(table: bytes, at: int) -> str:
    """The NUL-terminated text at an offset of a string table; empty when there is none."""
    end = table.find(b"\0", at, at + _MAX_NAME)
    return decode(table[at:end]) if end >= 0 else ""


def build_id(source: str | os.PathLike[str] | bytes) -> str:
    """The GNU build id in hexadecimal; empty when the file has none."""
    with open_elf(source) as elf:
        section = elf.section(".note.gnu.build-id")
        return next((body.hex() for _, _, body in elf.notes(section)), "") if section else ""

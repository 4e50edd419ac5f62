"""What an argument can mean: the kinds. Frozen, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from tracescope.attach.meaning.copies import Copy
from tracescope.attach.meaning.names import NameSet

__all__ = (
    "Address",
    "Bitmap",
    "Choice",
    "Data",
    "Device",
    "Flat",
    "IoctlCommand",
    "IpAddress",
    "Layout",
    "LinkAddress",
    "Meaning",
    "Member",
    "Mode",
    "Moment",
    "Named",
    "Number",
    "Option",
    "Owner",
    "Record",
    "Result",
    "SignalSet",
    "SocketAddress",
    "Text",
    "Values",
    "WaitStatus",
)


# Numbers: the value itself is all there is.


@dataclass(frozen=True, slots=True)
class Number:
    """A number of `bits` bits, in decimal or (base 8, 16) as text; `what` is what it counts or identifies."""

    bits: int = 64
    signed: bool = False
    base: int = 10
    what: str = ""


@dataclass(frozen=True, slots=True)
class Address:
    """An address: `0x…`."""


@dataclass(frozen=True, slots=True)
class Named:
    """A number with names: an enumeration, or a set of flags."""

    names: NameSet
    bits: int = 64
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Mode:
    """A file's mode: `0644`, with the type of the file `S_IFREG|0644`."""

    types: NameSet | None
    bits: int = 16


@dataclass(frozen=True, slots=True)
class Owner:
    """A uid or gid of which -1 means that it stays."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device number as `major:minor`: as user space writes it, or as the kernel itself does (`inside`)."""

    inside: bool = False


@dataclass(frozen=True, slots=True)
class IoctlCommand:
    """The command of ioctl: a known name, or direction, type, number and size."""

    names: NameSet | None


@dataclass(frozen=True, slots=True)
class Result:
    """What a call returns: the name of an error, or what the number means on success."""

    errors: tuple[NameSet, ...]
    success: Meaning | None = None
    bits: int = 64


# Memory: the value is a pointer, `copy` says which bytes it takes. Where `copy` is None the bytes are in the record.


@dataclass(frozen=True, slots=True)
class Text:
    """Text up to a NUL: a path, a name."""

    copy: Copy | None


@dataclass(frozen=True, slots=True)
class Data:
    """A buffer of bytes."""

    copy: Copy | None


@dataclass(frozen=True, slots=True)
class SocketAddress:
    """A `struct sockaddr` of any family."""

    copy: Copy | None
    families: NameSet | None
    protocols: NameSet | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A `struct timespec`, or (with `step` 1000) a timeval: nanoseconds."""

    copy: Copy | None
    step: int = 1
    many: bool = False
    statx: bool = False


@dataclass(frozen=True, slots=True)
class Values:
    """One number behind a pointer, or several of them."""

    copy: Copy | None
    each: Meaning
    size: int
    many: bool = False


@dataclass(frozen=True, slots=True)
class Option:
    """The value of a socket option whose type nobody tells: a number when it has the size of one."""

    copy: Copy | None


@dataclass(frozen=True, slots=True)
class SignalSet:
    """A `sigset_t` of 64 bits: the names of its signals."""

    copy: Copy | None
    signals: NameSet | None


@dataclass(frozen=True, slots=True)
class Bitmap:
    """The numbers of the bits that are set: descriptors, processors, memory nodes."""

    copy: Copy | None


@dataclass(frozen=True, slots=True)
class WaitStatus:
    """How a child changed state, as wait4 tells it."""

    copy: Copy | None
    signals: NameSet | None


@dataclass(frozen=True, slots=True)
class IpAddress:
    """An IPv4 address of 4 bytes or an IPv6 address of 16, in the record."""

    copy: Copy | None = None


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """A hardware address, in the record."""

    size: int = 6
    copy: Copy | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a structure: where its bytes are, and what they mean (None: a plain number)."""

    name: str
    offset: int
    size: int
    signed: bool = False
    means: Meaning | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Layout:
    """A structure of the kernel's interface: `size` bytes, of which the first `span` hold the members."""

    name: str
    size: int
    members: tuple[Member, ...]

    @property
    def span(self) -> int:
        """The end of the last member, in bytes."""
        return max((member.offset + member.size for member in self.members), default=0)

    def __repr__(self) -> str:
        return f"Layout({self.name})"


@dataclass(frozen=True, slots=True)
class Record:
    """A structure, or `many` of them one after the other."""

    copy: Copy | None
    layout: Layout
    many: bool = False


Flat: TypeAlias = (
    "Number | Address | Named | Mode | Owner | Device | IoctlCommand | Result | Text | Data | SocketAddress | Moment"
    " | Values | Option | SignalSet | Bitmap | WaitStatus | IpAddress | LinkAddress | Record"
)
"""A meaning that needs no other argument to be chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """What an argument means depends on another: `cases` by that one's value under `mask`, else `other`.

    None in them stands for `plain`: the bare number, or the address.
    """

    on: str
    mask: int
    cases: Mapping[int, Meaning | None]
    other: Meaning | None
    plain: Number | Address | None

    def choose(self, arguments: Mapping[str, int]) -> Flat | None:
        """The meaning beside these arguments; None for memory that the kernel does not fill in then."""
        value = arguments.get(self.on)
        if value is None:
            return self.plain
        chosen = self.cases.get(value & self.mask, self.other)
        return chosen.choose(arguments) if isinstance(chosen, Choice) else chosen or self.plain

    @property
    def choices(self) -> Sequence[Meaning]:
        """Everything that it can be."""
        return [meaning for meaning in (*self.cases.values(), self.other) if meaning is not None]


Meaning: TypeAlias = "Flat | Choice"

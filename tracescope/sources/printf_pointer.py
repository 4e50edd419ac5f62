"""`%p…` of the kernel's printf over bytes of a record: hex, bitmaps, MAC and IP addresses, UUIDs, escaped strings.

Source: lib/vsprintf.c, pointer(), and Documentation/core-api/printk-formats.rst.
"""

from __future__ import annotations

import ipaddress
import struct
import sys
from collections.abc import Callable

from tracescope.sources.printf import Conversion, widen

__all__ = ("bitmap", "bitmap_list", "memory_writer")

_AF_INET, _AF_INET6 = 2, 10
_LONGEST_HEX = 64
_SEPARATORS = {"": b" ", "C": b":", "D": b"-", "N": b""}
_ESCAPES = {0x0A: b"\\n", 0x0D: b"\\r", 0x09: b"\\t", 0x0B: b"\\v", 0x0C: b"\\f"}
_ESCAPES |= {0x07: b"\\a", 0x1B: b"\\e", 0x00: b"\\0"}

Writer = Callable[[Conversion, bytes], "bytes | None"]


def memory_writer(extension: str) -> Writer | None:
    """What writes bytes of a record by `%p` and this extension; None for one that needs the kernel.

    The writer gives None when the bytes are too few.
    """
    writer = _WRITERS.get(extension[:1])
    return None if writer is None or extension in ("", "x") else writer


def _hex(conversion: Conversion, data: bytes) -> bytes:
    """`%*ph[CDN]`: the width is the number of bytes."""
    count = min(max(conversion.width, 1) if conversion.width else 0, _LONGEST_HEX)
    separator = _SEPARATORS.get(conversion.extension[1:2], b" ")
    return separator.join(b"%02x" % byte for byte in data[:count])


def _bits(conversion: Conversion, data: bytes) -> bytes:
    """`%*pb[l]`: the width is the number of bits."""
    count = max(conversion.width, 0)
    return bitmap_list(data, count) if conversion.extension[1:2] == "l" else bitmap(data, count)


def _number(data: bytes, bits: int) -> int:
    """A bitmap of the kernel, in words of `unsigned long`, as one number."""
    size = (bits + 63) // 64 * 8
    words: tuple[int, ...] = struct.unpack(f"={size // 8}Q", data[:size].ljust(size, b"\0"))
    return sum(word << 64 * at for at, word in enumerate(words)) & ((1 << bits) - 1)


def bitmap(data: bytes, bits: int) -> bytes:
    """A bitmap as `%*pb` writes it: hexadecimal in groups of 32 bits."""
    bits = min(bits, len(data) * 8)
    number, groups = _number(data, bits), []
    for low in range((bits - 1) // 32 * 32, -1, -32):
        width = (min(bits - low, 32) + 3) // 4
        groups.append(b"%0*x" % (width, number >> low & 0xFFFF_FFFF))
    return b",".join(groups)


def bitmap_list(data: bytes, bits: int) -> bytes:
    """A bitmap as `%*pbl` writes it: `0-3,7`."""
    text = f"{_number(data, min(bits, len(data) * 8)):b}"[::-1]
    ranges, at = [], text.find("1")
    while at >= 0:
        end = text.find("0", at)
        last = (len(text) if end < 0 else end) - 1
        ranges.append(b"%d" % at if at == last else b"%d-%d" % (at, last))
        at = text.find("1", last + 1)
    return b",".join(ranges)


def _mac(conversion: Conversion, data: bytes) -> bytes | None:
    """`%pM[FR]`, `%pm[R]`."""
    if len(data) < 6:
        return None
    style = conversion.extension[1:2]
    octets = data[:6][::-1] if style == "R" else data[:6]
    separator = b"" if conversion.extension[0] == "m" else b"-" if style == "F" else b":"
    return widen(conversion, separator.join(b"%02x" % octet for octet in octets))


def _ip(conversion: Conversion, data: bytes) -> bytes | None:
    """`%p[Ii]4[hnbl]`, `%p[Ii]6[c]`, `%pIS[pfsc]`."""
    style, options = conversion.extension[1:2], conversion.extension[2:]
    plain = conversion.extension[0] == "i"
    if style == "4" and len(data) >= 4:
        return widen(conversion, _ip4(data[:4], plain, options))
    if style == "6" and len(data) >= 16:
        return widen(conversion, _ip6(data[:16], plain, options))
    if style == "S":
        text = _sockaddr(data, plain, options)
        return None if text is None else widen(conversion, text)
    return None


def _ip4(data: bytes, plain: bool, options: str) -> bytes:
    reverse = options[:1] == "l" or (options[:1] == "h" and sys.byteorder == "little")
    octets = data[::-1] if reverse else data
    return b".".join((b"%03d" if plain else b"%d") % octet for octet in octets)


def _ip6(data: bytes, plain: bool, options: str) -> bytes:
    if plain:
        return data.hex().encode()
    if "c" in options:
        return _ip6_compressed(data)
    return data.hex(":", 2).encode()


def _ip6_compressed(data: bytes) -> bytes:
    """ip6_compressed_string(): RFC 5952, with the last 4 bytes dotted for v4-mapped and ISATAP addresses."""
    words = struct.unpack(">8H", data)
    if words[:6] == (0, 0, 0, 0, 0, 0xFFFF):
        return b"::ffff:" + _ip4(data[12:], plain=False, options="")
    if words[4] | 0x0200 == 0x0200 and words[5] == 0x5EFE:
        head = str(ipaddress.IPv6Address(data[:12] + b"\xff" * 4)).removesuffix("ffff:ffff")
        return head.encode() + _ip4(data[12:], plain=False, options="")
    return str(ipaddress.IPv6Address(data)).encode()


def _sockaddr(data: bytes, plain: bool, options: str) -> bytes | None:
    """`(einval)` for a family that is no IP's; None for too few bytes."""
    family = int.from_bytes(data[:2], sys.byteorder)
    if family == _AF_INET and len(data) >= 8:
        text = _ip4(data[4:8], plain, options.strip("pfsc"))
        return text + b":%d" % _big(data, 2, 4) if "p" in options else text
    if family == _AF_INET6 and len(data) >= 28:
        return _sockaddr6(data, plain, options)
    return b"(einval)" if len(data) >= 2 and family not in (_AF_INET, _AF_INET6) else None


def _sockaddr6(data: bytes, plain: bool, options: str) -> bytes:
    text = _ip6(data[8:24], plain, options)
    if {*"pfs"} & {*options}:
        text = b"[" + text + b"]"
    if "p" in options:
        text += b":%d" % _big(data, 2, 4)
    if "f" in options:
        text += b"/%d" % (_big(data, 4, 8) & 0x0FFF_FFFF)
    return text + b"%%%d" % int.from_bytes(data[24:28], sys.byteorder) if "s" in options else text


def _big(data: bytes, start: int, end: int) -> int:
    """A number in network byte order."""
    return int.from_bytes(data[start:end], "big")


def _uuid(conversion: Conversion, data: bytes) -> bytes | None:
    """`%pU[bBlL]`: little-endian in its first three parts with `l`, upper case with `B` and `L`."""
    if len(data) < 16:
        return None
    style, octets = conversion.extension[1:2], data[:16]
    if style in ("l", "L"):
        octets = octets[3::-1] + octets[5:3:-1] + octets[7:5:-1] + octets[8:]
    digits = octets.hex()
    text = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    return widen(conversion, (text.upper() if style in ("B", "L") else text).encode())


def _escaped(conversion: Conversion, data: bytes) -> bytes | None:
    """`%*pE`: the width is the number of bytes; what is printable in Latin-1 stays."""
    if len(conversion.extension) > 1:
        return None
    count = max(conversion.width, 1) if conversion.width else 0
    return b"".join(
        bytes((byte,)) if 0x20 <= byte < 0x7F or byte >= 0xA0 else _ESCAPES.get(byte) or b"\\%03o" % byte
        for byte in data[:count]
    )


def _address(conversion: Conversion, data: bytes) -> bytes | None:
    """`%pa[pd]`: a physical or DMA address by reference, 64 bits wide."""
    if len(data) < 8:
        return None
    return widen(conversion, b"0x%016x" % int.from_bytes(data[:8], sys.byteorder))


_WRITERS: dict[str, Writer] = {
    "h": _hex,
    "b": _bits,
    "M": _mac,
    "m": _mac,
    "I": _ip,
    "i": _ip,
    "U": _uuid,
    "E": _escaped,
    "a": _address,
}

"""Text of the user's or the kernel's as a C string. Pure."""

from __future__ import annotations

__all__ = ("c_string",)


def c_string(text: str) -> str:
    """A string literal: plain ASCII as it is, all else in octal, which ends after three digits."""
    data = text.encode("utf-8", "surrogateescape")
    # `?` too: two of them begin a trigraph.
    plain = (chr(byte) if 0x20 <= byte < 0x7F and chr(byte) not in '"\\?%' else f"\\{byte:03o}" for byte in data)
    return f'"{"".join(plain)}"'

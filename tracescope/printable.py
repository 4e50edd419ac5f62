r"""Text from the traced world made safe to print: no terminal control, no layout tricks, nothing lost.

A process can put escape sequences into its argv, a file name can hold a line feed, a symbol can hold a bidi override.
All of them are shown escaped (`\x1b`, `\n`, `\u202e`); bytes that are not UTF-8 keep their value (`\xff`).
"""

from __future__ import annotations

import re

__all__ = ("decode", "encode", "printable")

# C0, DEL, C1, bidi controls and isolates, line separators, zero-width, BOM, lone surrogates (undecodable bytes).
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def decode(data: bytes) -> str:
    """Bytes as text; what is not UTF-8 keeps its bytes by surrogateescape."""
    return data.decode("utf-8", "surrogateescape")


def encode(text: str) -> bytes:
    """The bytes that `decode` made this text from; a surrogate that it never makes becomes `?`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def _escape(match: re.Match[str]) -> str:
    char = match.group()
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def printable(text: str) -> str:
    """The same text with every character that could steer a terminal written as an escape."""
    # Nothing of the above is printable in Python's sense.
    if text.isprintable():
        return text
    return _UNSAFE.sub(_escape, text)

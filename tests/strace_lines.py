"""Lines of `strace -v` as trees: text as bytes, arrays as lists, structures as dicts, everything else as written."""

from __future__ import annotations

import re
from dataclasses import dataclass

Node = "bytes | str | list[Node] | dict[str, Node]"

_LINE = re.compile(r"(\w+)\((.*)\)\s+= (\S+)(?: \((.*)\)| (E\w+) \(.*\))?")
_STRING = re.compile(r'@?"((?:[^"\\]|\\.)*)"')
_ESCAPES = {"n": 10, "t": 9, "r": 13, "f": 12, "v": 11, "\\": 92, '"': 34}
_ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|[0-7]{1,3}|.)")


@dataclass(frozen=True)
class Traced:
    """One call: its arguments, what it returned as strace wrote it, what it says of that behind, the error."""

    name: str
    arguments: list[object]
    result: str
    more: str
    error: str


def parse_line(line: str) -> Traced | None:
    match = _LINE.fullmatch(re.sub(r"(?<!\\) /\* .*? \*/", "", line))
    if match is None:
        return None
    name, inside, result, more, error = match.groups()
    return Traced(name, _Reader(inside).items(""), result, more or "", error or "")


def unescape(text: str) -> bytes:
    def byte(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] == "x":
            return chr(int(code[1:], 16))
        return chr(int(code, 8) if code.isdigit() else _ESCAPES[code])

    return _ESCAPE.sub(byte, text).encode("latin-1")


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def items(self, closing: str) -> list[object]:
        """Values up to a closing bracket, or the end."""
        found: list[object] = []
        while self.at < len(self.text) and self.text[self.at] != closing:
            found.append(self.value())
            self.at += len(re.match(r",? *", self.text[self.at :])[0])
        self.at += len(closing)
        return found

    def value(self) -> object:
        rest = self.text[self.at :]
        string = _STRING.match(rest)
        if string:
            self.at += string.end()
            return (b"\0" if rest[0] == "@" else b"") + unescape(string[1])
        if rest[0] == "[":
            self.at += 1
            return self.items("]")
        if rest[0] == "{":
            self.at += 1
            return self.members()
        return self.word()

    def members(self) -> dict[str, object]:
        found: dict[str, object] = {}
        while self.text[self.at] != "}":
            name = re.match(r"(\w+)=", self.text[self.at :])
            self.at += name.end() if name else 0
            value = self.value()
            found[name[1] if name else str(value)] = value
            self.at += len(re.match(r",? *", self.text[self.at :])[0])
        self.at += 1
        return found

    def word(self) -> str:
        """Up to the next comma or closing bracket outside of parentheses: `htons(80)`, `A|B`, `128 => 16`."""
        depth, start = 0, self.at
        while self.at < len(self.text):
            char = self.text[self.at]
            if depth == 0 and char in ",]}":
                break
            depth += (char == "(") - (char == ")")
            self.at += 1
        return self.text[start : self.at].strip()

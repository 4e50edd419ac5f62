"""Words of bpftrace's language for one version and one probe: operands, expressions, quoted text. Pure.

Source: bpftrace's CHANGELOG.md for what came when: `args.x` 0.19, fentry 0.20, `ppid` 0.25.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

from tracescope.attach.expression.chain import Located
from tracescope.attach.expression.typed import (
    Calculation,
    Change,
    Comparison,
    Constant,
    Junction,
    Match,
    Negation,
    Read,
    SameText,
    SameTexts,
    Typed,
    sign_of,
)
from tracescope.attach.expression.types import Integer, Text
from tracescope.attach.record.values import argument_type
from tracescope.attach.targets.target import Shape, Target
from tracescope.errors import Refused
from tracescope.model import Field

__all__ = ("Version", "Words", "bracketed", "quoted")

Version: TypeAlias = tuple[int, int]
_PATH = re.compile(r"(args\.\w+|\w+)(.*)", re.DOTALL)
_SAFE = re.compile(r"[\w.\->\[\]]*", re.ASCII)
_SAME = ("pid", "tid", "uid", "gid", "cpu", "cgroup", "comm")
_MOST_TEXT = 63
_OTHERS = "--as bcc or libbpf"
_OURS = ("start", "tree", "argv", "argc")
_ESCAPED = {'"': '\\"', "\\": "\\\\"}


def quoted(data: bytes) -> str:
    """A text in bpftrace's quotes; raises Refused for one longer than its strings, or that it could not hold."""
    if len(data) > _MOST_TEXT:
        raise Refused(
            "bpftrace cannot compare this text", f"its strings have {_MOST_TEXT} bytes", "write a shorter one"
        )
    if not all(0x20 <= byte < 0x7F for byte in data):
        raise Refused("bpftrace cannot hold this text", "it is not printable ASCII", "compare another part")
    return '"' + "".join(_ESCAPED.get(chr(byte), chr(byte)) for byte in data) + '"'


def bracketed(condition: str) -> str:
    """A condition in brackets, but not in two pairs of them."""
    inner = condition[1:-1]
    depth, lowest = 0, 0
    for char in inner:
        depth += (char == "(") - (char == ")")
        lowest = min(lowest, depth)
    whole = condition[:1] == "(" and condition[-1:] == ")" and lowest == 0 and '"' not in inner
    return condition if whole else f"({condition})"


@dataclass(frozen=True, slots=True)
class Words:
    """What the names in an expression are called at this target; at the end of a pair, those kept from the entry."""

    version: Version
    target: Target
    at_end: bool = False
    suffix: str = ""
    """Of the maps that wait for the return: of each pair its own, as one may happen within another."""

    @property
    def thread(self) -> str:
        """What a call is kept under. The task of an exec stays the same, its thread id does not."""
        return "curtask" if self.target.shape is Shape.EXEC else "tid"

    @property
    def start(self) -> str:
        """When the call began."""
        return f"@start{self.suffix}[{self.thread}]"

    def delete(self, name: str, key: str) -> str:
        """The statement that takes an element out of a map."""
        if self.version < (0, 22):
            return f"delete(@{name}[{key}]);"
        return f"delete(@{name}, {f'({key})' if ',' in key else key});"

    @property
    def dot(self) -> str:
        """What stands between `args` and a name."""
        return "args." if self.version >= (0, 19) else "args->"

    @property
    def ppid(self) -> str:
        """The parent's process id."""
        return "ppid" if self.version >= (0, 25) else "((struct task_struct *)curtask)->real_parent->tgid"

    def kept(self, field: Field) -> str:
        """The map that holds an argument until the return; not one of those that every script may have."""
        return f"{field.name}{'_' if field.name in _OURS else ''}{self.suffix}"

    def field(self, field: Field) -> str:
        """An argument's value as this probe has it; raises Refused where bpftrace does not give it."""
        shape, name = self.target.shape, field.name
        if self.at_end:
            if shape is Shape.EXEC and field.name in ("argv", "envp"):
                raise Refused(f"bpftrace cannot say {name} at the return", "the list was the caller's", "args.filename")
            return f"@{self.kept(field)}[{self.thread}]"
        if shape is Shape.SAMPLE:
            raise Refused(
                f"bpftrace does not know {name} of {self.target.probe}", "it gives a sample no arguments", _OTHERS
            )
        if not (name.isidentifier() and name.isascii()):
            raise Refused(f"bpftrace cannot name an argument of {self.target.probe}", "it is no identifier", _OTHERS)
        if field.location and self.version < (0, 12):
            return self._old_text(field)
        if shape is Shape.RESULT:
            return _returned(field)
        if shape is Shape.WORDS and name == "ret" and str(self.target.kind) == "fexit":
            return "retval"
        if shape in (Shape.REGISTERS, Shape.OPERANDS) or str(self.target.kind) == "rawtracepoint":
            return self._word(field)
        if shape in (Shape.SYSCALL, Shape.EXEC) and field.size == 8 and not field.type.endswith("*"):
            size, signed = argument_type(field)
            # The kernel hands over 8 bytes; of an int the upper half means nothing.
            return f"{self.dot}{name}" if size == 8 else f"({'' if signed else 'u'}int{8 * size}){self.dot}{name}"
        return f"{self.dot}{name}"

    def _old_text(self, field: Field) -> str:
        """Where a text of no fixed size lies in the record: 0.12 is the first to know."""
        if field.location != "__data_loc":
            raise Refused(
                f"bpftrace cannot read {field.name} here", "it knows such texts from 0.12 on", "--target 0.12"
            )
        return f"((uint64)args + (args->data_loc_{field.name} & 65535))"

    def _word(self, field: Field) -> str:
        word = f"arg{field.offset // 8 - 1}"
        struct = re.fullmatch(r"(?:const )?((?:struct|union) \w+) \*", field.type, re.ASCII)
        if struct:
            return f"(({struct[1]} *){word})"
        whole = field.type.endswith("*") or field.size not in (1, 2, 4)
        return word if whole else f"({'' if field.signed else 'u'}int{8 * field.size}){word}"

    def result(self) -> str:
        """What the call or function returned."""
        end = self.target.end if self.at_end and self.target.end else self.target
        if end.shape is Shape.RESULT:
            return _returned(next(field for field in end.format.fields if field.name == "ret"))
        return f"{self.dot}ret" if end.shape is Shape.SYSCALL else "retval"

    def expression(self, node: Typed) -> str:
        """An expression with its own brackets; raises Refused for what bpftrace cannot say."""
        match node:
            case Constant(value):
                return f"({value})" if value < 0 else str(value)
            case Read(located):
                return self.value(located)
            case Change(sign, operand):
                return f"({sign}{self.expression(operand)})"
            case Negation(operand):
                return f"!{bracketed(self.expression(operand))}"
            case Junction(sign, parts):
                return "(" + f" {sign} ".join(self.expression(part) for part in parts) + ")"
            case Calculation(sign, left, right) | Comparison(sign, left, right):
                return self._pair(node, sign, left, right)
            case SameText(text, data):
                return f"({self.value(text)} == {quoted(data)})"
            case Match():
                return self._match(node)
            case SameTexts(left, right):
                why = "it compares a text with a constant only"
                raise Refused(f"bpftrace cannot say {left.name} == {right.name}", why, _OTHERS)
        raise AssertionError(node)

    def _pair(self, node: Calculation | Comparison, sign: str, left: Typed, right: Typed) -> str:
        signs = {sign_of(left), sign_of(right)}
        if isinstance(node, Comparison) and signs == {True, False}:
            why = "it compares a signed with an unsigned number as if both were unsigned"
            raise Refused(f"bpftrace cannot say `{sign}` of these numbers", why, _OTHERS)
        if isinstance(node, Calculation) and sign in ("/", "%", ">>") and True in signs:
            why = "it takes both sides for unsigned"
            raise Refused(f"bpftrace cannot say `{sign}` of a signed number", why, _OTHERS)
        return f"({self.expression(left)} {sign} {self.expression(right)})"

    def _match(self, node: Match) -> str:
        if node.suffix:
            why = "it cannot compare the end of a text"
            raise Refused(f"bpftrace cannot say {node.text.name} =~ '*…'", why, "compare the beginning")
        if not node.prefix:
            return "1"
        return f"(strncmp({self.value(node.text)}, {quoted(node.prefix)}, {len(node.prefix)}) == 0)"

    def value(self, located: Located) -> str:
        """An operand: a number, or a text as bpftrace's string."""
        path = _PATH.fullmatch(located.name)
        if path is None or not _SAFE.fullmatch(located.name):
            raise Refused(f"bpftrace cannot say {located.name}", "it is no path of members", _OTHERS)
        if isinstance(located.type, Integer) and located.type.bits and self.version < (0, 18):
            raise Refused(f"bpftrace cannot read {located.name}", "it knows bitfields from 0.18 on", "--target 0.18")
        root, rest = path.groups()
        text = self._root(root)
        if rest and text.startswith(("(int", "(uint")):
            raise Refused(f"bpftrace cannot say {located.name}", f"{root} is a number", _OTHERS)
        if isinstance(located.type, Text) and not self._is_string(root, rest, located.type):
            return f"str({text}{rest})"
        return f"{text}{rest}"

    def _root(self, root: str) -> str:
        if root in _SAME:
            return root
        match root:
            case "ppid":
                return self.ppid
            case "time_ns":
                return "nsecs"
            case "duration_ns":
                return f"(nsecs - {self.start})"
            case "ret" | "args.ret":
                return self.result()
        name = root.removeprefix("args.")
        return self.field(next(field for field in self.target.format.fields if field.name == name))

    def _is_string(self, root: str, rest: str, type_: Text) -> bool:
        """True for what is a string to bpftrace already: arrays, and what was kept of the entry by str()."""
        if root == "comm":
            return True
        if rest:
            return type_.size is not None
        name = root.removeprefix("args.")
        field = next(field for field in self.target.format.fields if field.name == name)
        return self.at_end or (field.array is not None and not field.location)


def _returned(field: Field) -> str:
    """The register of a kretprobe is unsigned and whole to bpftrace, whatever the function returns."""
    if field.type.endswith("*") or field.size not in (1, 2, 4, 8):
        return "retval"
    return f"({'' if field.signed else 'u'}int{8 * field.size})retval"

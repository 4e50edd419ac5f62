"""Statements of the programs: what fills in an event or a key, comments. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import dedent, indent

from tracescope.attach.expression.c_text import CValue, copy_text
from tracescope.attach.expression.types import Pointer, Text
from tracescope.export.c.carried import ARGUMENTS, TEXT_BYTES, Carried, Column, Form, fresh, identifier
from tracescope.export.c.keys import KEY_TEXT, Key

__all__ = ("bracketed", "comment", "fill", "keyed", "lines_of", "show", "shown", "unused", "uses")

_UNREAD = "event->head.unread |= 1U << {bit};"
_ARGV = """\
	{{
		u64 pointer;
		u32 at;

		event->{member}_count = 0;
		event->{member}_unread = 0;
#pragma clang loop unroll(disable)
		for (at = 0; at <= {most}; at++) {{
			pointer = 0;
			if ({name} && bpf_probe_read_user(&pointer, sizeof(pointer), (void *)({name} + 8 * at))) {{
				{unread}
				break;
			}}
			if (!pointer)
				break;
			event->{member}_count = at + 1;
			if (at == {most})
				break;
			if (bpf_probe_read_user_str(event->{member}[at], sizeof(event->{member}[at]), (void *)pointer) < 0)
				event->{member}_unread |= 1U << at;
		}}
	}}
"""


def fill(row: Carried, column: Column, bit: int, *, user: bool) -> str:
    """What puts an argument into its column; `bit` says where it is noted that it could not be read."""
    unread = f"\n\t\t{_UNREAD.format(bit=min(bit, 31))}\n"
    size = f"sizeof(event->{column.name})"
    if row.pointed or row.field.location:
        space = "user" if user and not row.field.location else "kernel"
        read = f"bpf_probe_read_{space}_str(event->{column.name}, {size}, (void *){row.name})"
        return f"\tif ({read} < 0){unread}"
    if column.form is Form.ARGV:
        return _ARGV.format(name=row.name, member=column.name, most=ARGUMENTS, unread=_UNREAD.format(bit=min(bit, 31)))
    if column.is_number:
        return f"\tevent->{column.name} = {row.name};\n"
    clear = f"\t__builtin_memset(event->{column.name}, 0, {size});\n" if column.form is Form.TEXT else ""
    return f"{clear}\tbpf_probe_read_kernel(event->{column.name}, {row.field.size}, {row.name});\n"


def keyed(key: Key, made: CValue, statements: str) -> str:
    """What puts a value into the key that is counted by."""
    name = key.column.name
    if key.column.form is Form.TEXT:
        copy = copy_text(made, f"key.{name}", KEY_TEXT)
        return f"\t{{\n{indent(lines_of(statements), chr(9))}\t\t{copy};\n\t}}\n"
    return f"{lines_of(statements)}\tkey.{name} = {made.value};\n"


def shown(title: str, made: CValue, signed: bool | None, used: Sequence[str]) -> Column:
    """The column of a value to be shown."""
    name = fresh(f"show_{identifier(title.replace('args.', ''))}"[:40], used)
    if isinstance(made.type, Text):
        return Column(
            name, title, Form.TEXT, TEXT_BYTES if made.type.size is None else min(TEXT_BYTES, made.type.size + 1)
        )
    if isinstance(made.type, Pointer):
        return Column(name, title, Form.ADDRESS, 8)
    return Column(name, title, Form.SIGNED if signed else Form.UNSIGNED, 8)


def show(column: Column, made: CValue, statements: str, bit: int) -> str:
    """What puts such a value into its column."""
    unread = _UNREAD.format(bit=min(bit, 31))
    if column.form is Form.TEXT:
        test = f"{copy_text(made, f'event->{column.name}', column.size)} < 0"
        test = f"{made.failed} || {test}" if made.failed != "0" else test
        clear = f"\t\t__builtin_memset(event->{column.name}, 0, {column.size});\n"
        lines = indent(lines_of(statements), chr(9))
        return f"\t{{\n{lines}{clear}\t\tif ({test})\n\t\t\t{unread}\n\t}}\n"
    failed = f"\tif ({made.failed})\n\t\t{unread}\n" if made.failed != "0" else ""
    return f"{lines_of(statements)}\tevent->{column.name} = {made.value};\n{failed}"


def unused(body: str) -> str:
    """A line that uses the context where nothing else does."""
    return "" if uses(body, "ctx") else "\t(void)ctx; /* what it carries was not asked for */\n"


def uses(body: str, name: str) -> bool:
    """True where a text names this variable."""
    return re.search(rf"(?<![\w>.]){re.escape(name)}\b", body) is not None


def bracketed(value: str) -> str:
    """A value in brackets."""
    return value if value.startswith("(") else f"({value})"


def lines_of(statements: str) -> str:
    """Statements of an expression, with a tab."""
    return indent(dedent(statements), "\t")


def comment(probe: str) -> str:
    """A name in a comment: printable, and no end of it."""
    safe = "".join(char if char.isascii() and char.isprintable() else "?" for char in probe)
    return safe.replace("*/", "* /").replace("/*", "/ *")

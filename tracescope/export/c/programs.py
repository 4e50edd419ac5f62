"""The programs of a tracer in C, for BCC and libbpf alike: one a probe, two for entry and return as one. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from textwrap import indent

from tracescope.attach.ask.asked import before
from tracescope.attach.ask.keys import parse_keys
from tracescope.attach.ask.scope import scope_of
from tracescope.attach.ask.summary import KeyKind
from tracescope.attach.expression.c_text import CValue, compile_condition, compile_value
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.parse import parse, parse_list
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.typed import sign_of
from tracescope.attach.expression.types import Integer, Operand, Space, Text
from tracescope.attach.targets.target import Target
from tracescope.errors import Refused, UsageError
from tracescope.export.c.carried import Carried, Column, Form, carried, fresh
from tracescope.export.c.context import Context
from tracescope.export.c.dialect import Dialect
from tracescope.export.c.keys import Key, keys_of
from tracescope.export.c.program import Program
from tracescope.export.c.statements import bracketed, comment, fill, keyed, lines_of, show, shown, unused, uses
from tracescope.export.exec_tracer import is_exec_pair
from tracescope.export.tracer import Tracer

__all__ = ("ENTRIES", "programs")

ENTRIES = 10240
_STRUCTS = ("args", "end_args", "entry", "event")


def programs(tracer: Tracer, dialect: Dialect) -> list[Program]:
    """The programs of all probes; raises Refused, UsageError."""
    if tracer.lhist or tracer.sum:
        raise Refused(
            "equal steps and sums are written for bpftrace only", "BCC and libbpf count, and in powers of two", "--hist"
        )
    if tracer.counts and tracer.show:
        raise UsageError("--show is about single events", "here the kernel counts", "leave it out")
    if is_exec_pair(tracer):
        raise Refused(
            "these options do not go with execve as one event",
            "BCC and libbpf write its calls as the process tracer does",
            "only --where and filters, or leave out --pair",
        )
    found: list[Program] = []
    for number, target in enumerate(tracer.targets):
        last = target.probe.rpartition(":")[2]
        # Of a pair: the call, and not its entry.
        last = last.removeprefix("sys_enter_") if target.end is not None else last
        kind = str(target.kind)
        taken = {one.struct.removesuffix("_event") for one in found}
        name = fresh(last if kind == "tracepoint" else f"{kind}_{last}", taken)
        while tracer.btf is not None and any(tracer.btf.find(f"struct {name}_{word}") for word in _STRUCTS):
            name = fresh(f"{name}_traced", taken)
        found.append(_Writer(tracer, dialect, target, number, name).program())
    return found


class _Writer:
    """One probe's C."""

    def __init__(self, tracer: Tracer, dialect: Dialect, target: Target, number: int, name: str) -> None:
        self._tracer, self._dialect, self._target = tracer, dialect, target
        self._number, self._name = number, name
        self._rows = carried(target)
        self._definitions = ""
        self._prefixes = 0
        self._entry = dialect.function(target, f"enter_{name}")
        word = "on" if target.end is None else "exit"
        self._function = dialect.function(target.end or target, f"{word}_{name}")
        self._counts = tracer.counts
        self._scope = self._named(scope_of(target, tracer.btf))

    def _named(self, scope: Scope) -> Scope:
        """The same names, each as the variable of this program that holds it."""
        args = dict(scope.args)
        for row in self._rows:
            operand = args.get(row.field.name)
            if operand is not None:
                args[row.field.name] = self._variable(row, operand)
        if self._target.end is None and "ret" in args:
            return replace(scope, args=args, builtins={**scope.builtins, "ret": args["ret"]})
        return replace(scope, args=args)

    @staticmethod
    def _variable(row: Carried, operand: Operand) -> Operand:
        if isinstance(operand.type, Text) and operand.type.space is Space.OWN:
            # A copy on the stack: the verifier lets nobody load from an address in the context.
            return Operand(replace(operand.type, align=8), row.name)
        return replace(operand, c=f"(u64){row.name}" if not isinstance(operand.type, Integer) else row.name)

    def _prefix(self, word: str) -> str:
        self._prefixes += 1
        return f"{word}_{self._number}_{self._prefixes}"

    # Expressions

    def _condition(self, leave: str) -> str:
        if not self._tracer.where.strip():
            return ""
        typed = check_condition(parse(self._tracer.where), self._scope)
        made = compile_condition(typed, self._prefix("where"), self._dialect.offset)
        self._definitions += made.definitions
        asked = " ".join(self._tracer.where.split())
        comment = asked if asked.isascii() and asked.isprintable() and "\\" not in asked else "the condition"
        lines = lines_of(before(typed) + made.statements)
        return f"\n\t// Only where {comment}\n{lines}\tif (!{bracketed(made.value)})\n{indent(leave, chr(9))}"

    def _value(self, text: str, word: str) -> Iterator[tuple[str, CValue, str, bool | None]]:
        """Of a list of expressions: title, C, and the statements that come first."""
        for expression in parse_list(text):
            typed = check_value(expression, self._scope)
            made = compile_value(typed, self._prefix(word), self._dialect.offset)
            self._definitions += made.definitions
            yield expression.title, made, before(typed) + made.statements, sign_of(typed)

    # The whole

    def program(self) -> Program:
        """Its C, and that of the entry before it."""
        columns, fills = ((), "") if self._counts else self._columns()
        leave = self._leave()
        body = self._condition(leave)
        body += self._counting() if self._counts else self._handing_over(fills)
        if self._target.end is None:
            text = self._single(body)
            entry = ""
        else:
            text = self._pair(body)
            entry = self._entry
        function = self._function
        struct = f"{self._name}_event"
        return Program(self._number, function, struct, self._target, tuple(columns), self._definitions + text, entry)

    def _leave(self) -> str:
        if self._target.end is None:
            return "\treturn 0;\n"
        return "\tgoto done;\n"

    def _single(self, body: str) -> str:
        context = self._dialect.context(self._target, self._rows, self._name)
        declared = self._declarations(context, body)
        late = self._late(context, body)
        return (
            f"\n{context.structs}/* {comment(self._target.probe)} */\n{self._dialect.section(self._target)}"
            f"int {self._function}({context.type})\n{{\n{self._event_variable()}{declared}"
            f"{unused(declared + late + body)}\tif (!wanted())\n\t\treturn 0;\n{late}{body}\treturn 0;\n}}\n"
        )

    def _event_variable(self) -> str:
        return "" if self._counts else f"\tstruct {self._name}_event *event;\n"

    def _declarations(self, context: Context, body: str) -> str:
        """A variable for each argument that is a number and is used."""
        lines = []
        for row in self._rows:
            if row.field.name in context.before or not row.is_number or not uses(body, row.name):
                continue
            lines.append(f"\t{row.type} {row.name} = ({row.type}){context.words[row.field.name]};\n")
        return "".join(lines) + ("\n" if lines or not self._counts else "")

    def _late(self, context: Context, body: str) -> str:
        """What takes more than an expression: texts in the record, arguments of USDT probes."""
        lines = []
        for row in self._rows:
            if not uses(body, row.name):
                continue
            if row.field.name in context.before:
                lines.append(context.before[row.field.name])
            elif row.field.location:
                word = context.words[row.field.name]
                start = f" + {row.field.offset + row.field.size}" if row.field.location == "__rel_loc" else ""
                lines.append(f"\tu64 {row.name} = (u64)ctx{start} + ({word} & 0xffff);\n")
            elif row.field.array is not None:
                size = row.field.size
                lines.append(f"\tchar {row.name}[{size}] __attribute__((aligned(8)));\n")
                lines.append(f"\tbpf_probe_read_kernel({row.name}, {size}, {context.words[row.field.name]});\n")
        return "".join(lines)

    # Entry and return as one event

    def _pair(self, body: str) -> str:
        end = self._target.end
        assert end is not None
        kept = [row for row in self._rows if row.is_number and uses(body, row.name)]
        enter = self._dialect.context(self._target, self._rows, self._name)
        leave = self._dialect.context(end, carried(end), f"{self._name}_end")
        members = "".join(f"\t{row.type} {row.name};\n" for row in kept)
        stored = "".join(f"\tentry.{row.name} = ({row.type}){enter.words[row.field.name]};\n" for row in kept)
        reads = "".join(enter.before[row.field.name] for row in kept if row.field.name in enter.before)
        values = "".join(f"\t{row.type} {row.name} = entry->{row.name};\n" for row in kept)
        table, struct = f"entries_{self._number}", f"{self._name}_entry"
        (ret,) = (one for one in carried(end) if one.field.name == "ret")
        given = leave.words["ret"]
        ret_type = f"{'s' if ret.field.signed else 'u'}{8 * ret.field.size}" if ret.is_number else "u64"
        ret_line = f"\ts64 ret = ({ret_type}){given};\n" if uses(body, "ret") else ""
        label = "done:\n" if "goto done" in body else ""
        duration = "\tu64 duration = bpf_ktime_get_ns() - entry->time_ns;\n" if uses(body, "duration") else ""
        return (
            f"\n{enter.structs}/* What is known at the entry waits here for the return, under the thread. */\n"
            f"struct {struct} {{\n\tu64 time_ns;\n{members}}};\n"
            f"{self._dialect.hash_map(table, 'u64', f'struct {struct}', ENTRIES, lru=True)}\n"
            f"/* {comment(self._target.probe)} */\n{self._dialect.section(self._target)}"
            f"int {self._entry}({enter.type})\n{{\n\tu64 thread = bpf_get_current_pid_tgid();\n"
            f"\tstruct {struct} entry = {{}};\n\n{unused(reads + stored)}\tif (!wanted())\n\t\treturn 0;\n{reads}"
            f"\tentry.time_ns = bpf_ktime_get_ns();\n{stored}"
            f"\t{self._dialect.update(table, 'thread', 'entry')};\n\treturn 0;\n}}\n\n"
            f"{leave.structs}/* {comment(end.probe)} */\n{self._dialect.section(end)}"
            f"int {self._function}({leave.type})\n{{\n\tu64 thread = bpf_get_current_pid_tgid();\n"
            f"\tstruct {struct} *entry = {self._dialect.lookup(table, 'thread')};\n{self._event_variable()}\n"
            f"{unused(ret_line + body)}\tif (!entry)\n\t\treturn 0; /* not wanted, or begun before the tracer */\n"
            f"{values}{ret_line}{duration}{body}"
            f"{label}\t{self._dialect.delete(table, 'thread')};\n\treturn 0;\n}}\n"
        )

    # Single events

    def _columns(self) -> tuple[list[Column], str]:
        """What the events have, and the statements that fill it in."""
        columns: list[Column] = []
        fills: list[str] = []
        for row in self._rows:
            if row.column is None or (self._target.end and not row.is_number):
                continue
            fills.append(fill(row, row.column, len(columns), user=self._target.user))
            columns.append(row.column)
        if self._target.end is not None:
            columns += [
                Column(fresh("ret_", (one.name for one in columns)), "ret", Form.SIGNED, 8),
                Column(fresh("duration_ns", (one.name for one in columns)), "duration_ns", Form.UNSIGNED, 8),
            ]
            fills += [f"\tevent->{columns[-2].name} = ret;\n", f"\tevent->{columns[-1].name} = duration;\n"]
        for text in self._tracer.show:
            for title, made, statements, signed in self._value(text, "show"):
                column = shown(title, made, signed, [one.name for one in columns])
                fills.append(show(column, made, statements, len(columns)))
                columns.append(column)
        return columns, "".join(fills)

    def _handing_over(self, fills: str) -> str:
        lose = indent(self._dialect.lose, "\t\t")
        leave = indent(self._leave(), "\t")
        return (
            f"\n\tevent = {self._dialect.reserve()};\n"
            f"\tif (!event) {{\n{lose}{leave}\t}}\n"
            f"\tfill(&event->head, {self._number});\n{fills}"
            f"{indent(self._dialect.submit(), chr(9))}"
        )

    # Counting

    def _counting(self) -> str:
        keys = keys_of(self._tracer, self._scope)
        lines = ["\n\tstruct count_key key = {};\n\tu64 one = 1, *found;\n\n", f"\tkey.probe = {self._number};\n"]
        number = 0
        for key, given in zip(keys, parse_keys(self._tracer.count_by), strict=True):
            if isinstance(given, KeyKind):
                lines.append(self._stack(key))
                continue
            typed = check_value(given, self._scope)
            made = compile_value(typed, self._prefix("key"), self._dialect.offset)
            self._definitions += made.definitions
            lines.append(keyed(key, made, before(typed) + made.statements))
            number += 1
        if self._tracer.hist:
            typed = check_condition(parse(self._tracer.hist), self._scope)
            made = compile_value(typed, self._prefix("value"), self._dialect.offset)
            self._definitions += made.definitions
            signed = int(sign_of(typed) is True)
            failed = f"\tif ({made.failed})\n\t{self._leave()}" if made.failed != "0" else ""
            lines.append(
                f"{lines_of(before(typed) + made.statements)}{failed}\tkey.bucket = bucket({made.value}, {signed});\n"
            )
        lines.append(
            f"\tfound = {self._dialect.lookup('counts', 'key')};\n"
            "\tif (found)\n\t\t__sync_fetch_and_add(found, 1);\n"
            f"\telse if ({self._dialect.update('counts', 'key', 'one', new=True)}) {{\n"
            "\t\t/* The table is full, or another CPU was first. */\n"
            f"\t\tfound = {self._dialect.lookup('counts', 'key')};\n"
            "\t\tif (found)\n\t\t\t__sync_fetch_and_add(found, 1);\n"
            f"\t\telse {{\n{indent(self._dialect.lose, chr(9) * 3)}\t\t}}\n\t}}\n"
        )
        return "".join(lines)

    def _stack(self, key: Key) -> str:
        flags = "BPF_F_USER_STACK" if key.kind is KeyKind.USER_STACK else "0"
        text = f"\tkey.{key.column.name} = {self._dialect.stack('stacks', flags)};\n"
        if key.kind is KeyKind.USER_STACK:
            text += f"\tkey.{key.column.name}_pid = bpf_get_current_pid_tgid() >> 32;\n"
        return text

"""A tracer as a bpftrace program, for versions 0.11 to 0.27: a commented script or one line of shell. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from tracescope.attach.ask.keys import parse_keys, parse_linear
from tracescope.attach.ask.scope import scope_of
from tracescope.attach.ask.summary import KeyKind
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.parse import parse, parse_list
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.typed import reads
from tracescope.attach.plan import Filters
from tracescope.attach.targets.target import Shape, Target
from tracescope.errors import Refused, UsageError
from tracescope.export.bpftrace.exec_pair import MAPS, PAIR_NOTES, forget, keep, print_kept, returns_too
from tracescope.export.bpftrace.printing import fields_of, form_of, format_of, printfs, stored, time_of
from tracescope.export.bpftrace.words import Version, Words, bracketed, quoted
from tracescope.export.c.members import asked
from tracescope.export.exec_tracer import is_exec_pair
from tracescope.export.tracer import Tracer
from tracescope.model import Field, ProbeKind

__all__ = ("NEWEST", "one_liner", "script")

NEWEST: Version = (0, 27)
_OLDEST: Version = (0, 11)
_PROBE = re.compile(r"[\w:.@+/-]+", re.ASCII)
_UNDER = {"tid": "the thread's id", "curtask": "the task"}
_PLACELESS = (ProbeKind.INTERVAL, ProbeKind.PROFILE, ProbeKind.SOFTWARE, ProbeKind.HARDWARE)
_OLD_FORMAT = 60
"""Before 0.12 a format was a string like any other: of 64 bytes."""
_OLD_NOTE = "Before 0.12 a format has 64 bytes at most: one event is several printf, and lines of several CPUs may mix."
_HEADERS = (
    "// PPID is read from the kernel's struct: by its BTF, without that by its headers, which must be installed.",
    "#ifndef BPFTRACE_HAVE_BTF",
    "#include <linux/sched.h>",
    "#endif",
)
_EXEC_NOTES = (
    "What this cannot show, and `tracescope exec` does: arguments behind the 16th, or behind an empty one;",
    "arguments whose page was not in memory at entry; starts of 32-bit programs; how the process ended.",
    "Entry and return are two lines with one TID: an exec out of a thread takes over the process's TID.",
)
_JOIN = (
    "join() prints at once and gives no value: `@argv[tid] = join(...)` is the classic mistake, refused by the",
    "kernel's verifier. So print at entry, and find the result on the later line with this TID.",
)


def script(tracer: Tracer, version: Version = NEWEST) -> str:
    """The program with comments; raises Refused for what this version of bpftrace cannot do, UsageError."""
    return "\n".join(_Script(tracer, version).lines()) + "\n"


def one_liner(tracer: Tracer, version: Version = NEWEST) -> str:
    """The same as one line for a shell; raises like `script`."""
    lines = [line.strip() for line in _Script(tracer, version).lines()]
    lines = [line for line in lines if line and not line.startswith(("//", "#!"))]
    # A line for the preprocessor is one, also within a shell's quotes.
    program = "".join(f"{line}\n" for line in lines if line.startswith("#"))
    program += " ".join(line for line in lines if not line.startswith("#"))
    return f"bpftrace -e {shlex.quote(program)}\n"


class _Script:
    """One program being written."""

    def __init__(self, tracer: Tracer, version: Version) -> None:
        if version < _OLDEST:
            raise Refused("bpftrace before 0.11 is not written for", "its language was another", "--target 0.11")
        self._tracer = tracer
        self._version = version
        self._maps: dict[str, None] = dict.fromkeys(("tree",)) if tracer.filters.tree else {}
        """What would be printed at the end if it were not cleared."""
        self._counts = tracer.counts
        if self._counts and tracer.show:
            raise UsageError("--show is about single events", "here the kernel counts", "leave it out")

    def lines(self) -> Iterator[str]:
        """The whole program."""
        major, minor = self._version
        yield "#!/usr/bin/env bpftrace"
        yield f"// {self._tracer.name}, written by TraceScope for bpftrace {major}.{minor}. Run it as root."
        yield f"// Ctrl-C ends it{', and prints what the kernel counted' if self._counts else ''}."
        yield "// Text of the traced programs is printed as it is: `| cat -v` keeps it from controlling the terminal."
        if is_exec_pair(self._tracer):
            yield from (f"// {note}" for note in PAIR_NOTES)
        elif any(target.shape is Shape.EXEC for target in self._tracer.targets):
            yield from (f"// {note}" for note in _EXEC_NOTES)
        body = list(self._blocks())
        if self._splits and any(line.lstrip().startswith("printf(") for line in body):
            yield f"// {_OLD_NOTE}"
        yield ""
        if any("(struct task_struct *)" in line for line in body if not line.lstrip().startswith("//")):
            yield from (*_HEADERS, "")
        yield from body

    @property
    def _splits(self) -> bool:
        return self._version < (0, 12)

    def _blocks(self) -> Iterator[str]:
        yield from self._begin()
        pairs = count()
        for target in self._tracer.targets:
            yield from self._target(target, next(pairs) if target.end is not None else 0)
        yield from self._leave()

    def _begin(self) -> Iterator[str]:
        """The one BEGIN that a program may have, and what follows a tree."""
        tree = self._tracer.filters.tree
        heads = [] if self._counts else [r'printf("TIME PID TID PPID COMM PROBE VALUES\n");']
        if tree:
            heads.append("// The processes that are followed; a child that runs by now is not among them.")
            heads += [f"@tree[{int(pid)}] = 1;" for pid in tree]
        if heads:
            yield from self._action("BEGIN", [], heads)
        if tree:
            child = f"{self._words(self._tracer.targets[0]).dot}child_pid"
            yield from self._action("tracepoint:sched:sched_process_fork", ["@tree[pid]"], [f"@tree[{child}] = 1;"])

    def _leave(self) -> Iterator[str]:
        if self._tracer.filters.tree:
            yield from self._action(
                "tracepoint:sched:sched_process_exit",
                ["@tree[tid]"],
                [self._words(self._tracer.targets[0]).delete("tree", "tid")],
            )
        if self._maps:
            yield from self._action("END", [], [f"clear(@{name});" for name in self._maps])

    def _words(self, target: Target) -> Words:
        return Words(self._version, target)

    # One probe

    def _target(self, target: Target, number: int) -> Iterator[str]:
        scope = scope_of(target, self._tracer.btf)
        conditions = _filtered(self._tracer.filters)
        if target.end is None:
            words = self._words(target)
            yield from self._action(target.probe, self._tests(conditions, words, scope), self._body(words, scope))
            return
        kept = self._kept(target, scope)
        suffix = f"_{number}" if number else ""
        enter = Words(self._version, target, suffix=suffix)
        names = [*(enter.kept(field) for field in kept), f"start{suffix}"]
        body = [f"@{enter.kept(field)}[{enter.thread}] = {stored(enter, field)};" for field in kept]
        lists = target.shape is Shape.EXEC and not self._counts
        body += [*(keep(enter) if lists else ()), f"{enter.start} = nsecs;"]
        yield f"// Entry and return are one event: what is known at entry waits under {_UNDER[enter.thread]}."
        yield from self._action(target.probe, conditions, body)
        words = replace(enter, at_end=True)
        gone = [*(forget(words) if lists else ()), *(words.delete(name, words.thread) for name in names)]
        self._maps |= dict.fromkeys((*(MAPS if lists else ()), *names))
        test = self._tests([], words, scope)
        inner = self._body(words, scope)
        if test:
            inner = [f"if {bracketed(' && '.join(test))} {{", *(f"  {line}" for line in inner), "}"]
        for returned in (target.end.probe, *returns_too(target)):
            yield from self._action(returned, [words.start], [*inner, *gone])

    def _action(self, probe: str, tests: list[str], body: list[str]) -> Iterator[str]:
        yield self._probe(probe)
        if tests:
            yield f"/{' && '.join(tests)}/"
        yield from ("{", *(f"  {line}" for line in body), "}", "")

    def _probe(self, probe: str) -> str:
        kind, _, rest = probe.partition(":")
        if not _PROBE.fullmatch(probe):
            raise Refused(f"{probe!r} cannot be written for bpftrace", "its name holds other characters than names do")
        if kind in (ProbeKind.CACHE, ProbeKind.PMU):
            raise Refused(
                f"{probe} cannot be written for bpftrace", "it has no such kind of probe", "--as bcc or libbpf"
            )
        if kind == ProbeKind.RAWTRACEPOINT and self._version < (0, 19):
            raise Refused(
                f"{probe} cannot be written for this bpftrace", "raw tracepoints work from 0.19 on", "--target 0.19"
            )
        if kind in (ProbeKind.FENTRY, ProbeKind.FEXIT):
            module, _, function = rest.partition(":")
            if self._version < (0, 17) and module != "vmlinux":
                why = "it knows modules from 0.17 on"
                raise Refused(f"{probe} cannot be written for this bpftrace", why, "--target 0.17")
            kind = kind if self._version >= (0, 20) else {"fentry": "kfunc", "fexit": "kretfunc"}[kind]
            return f"{kind}:{rest if self._version >= (0, 17) else function}"
        return probe

    def _tests(self, conditions: list[str], words: Words, scope: Scope) -> list[str]:
        if not self._tracer.where.strip():
            return conditions
        return [*conditions, words.expression(check_condition(parse(self._tracer.where), scope))]

    def _kept(self, target: Target, scope: Scope) -> list[Field]:
        """The arguments that the end of a pair needs: all to print them, else those that are asked for."""
        fields = fields_of(target)
        if not self._counts:
            return [field for field in fields if format_of(target, field)]
        names = {located.name for typed in asked(self._tracer, scope) for located in reads(typed)}
        used = {found[1] for name in names if (found := re.match(r"args\.(\w+)", name))}
        return [field for field in fields if field.name in used]

    def _body(self, words: Words, scope: Scope) -> list[str]:
        return self._counting(words, scope) if self._counts else self._printing(words, scope)

    def _counting(self, words: Words, scope: Scope) -> list[str]:
        keys = ["probe"] if len(self._tracer.targets) > 1 else []
        keys += [
            key.value if isinstance(key, KeyKind) else words.expression(check_value(key, scope))
            for key in parse_keys(self._tracer.count_by)
        ]
        table = f"@[{', '.join(keys)}]" if keys else "@"
        return [f"{table} = {self._measure(words, scope)};"]

    def _measure(self, words: Words, scope: Scope) -> str:
        """Bpftrace's own function for what is measured."""
        tracer = self._tracer
        if tracer.lhist:
            value, scale = parse_linear(tracer.lhist)
            said = words.expression(check_condition(value, scope))
            return f"lhist({said}, {scale.low}, {scale.high}, {scale.step})"
        for function, text in (("hist", tracer.hist), ("stats", tracer.sum)):
            if text:
                return f"{function}({words.expression(check_condition(parse(text), scope))})"
        return "count()"

    def _printing(self, words: Words, scope: Scope) -> list[str]:
        target = words.target
        formats, values, comments = [], [], []
        for field in fields_of(target):
            form = format_of(target, field)
            if not form:
                comments.append(f"// {field.name} is left out: bpftrace has no form for its type.")
                continue
            formats.append(f"{field.name}={form}")
            values.append(words.field(field) if words.at_end else stored(words, field))
        if words.at_end:
            formats += ["ret=%lld", "duration_ns=%llu"]
            values += [words.result(), f"nsecs - {words.start}"]
        for number, text in enumerate(one for given in self._tracer.show for one in parse_list(given)):
            typed = check_value(text, scope)
            formats.append(f"show{number}={form_of(typed)}")
            values.append(words.expression(typed))
            # The text itself is the user's: checked by now, it holds no line break.
            comments.append(f"// show{number} is {' '.join(text.title.split())}")
        return [*comments, *self._print(words, formats, values)]

    def _own_name(self, words: Words) -> str:
        """What says which probe it is: 0.11 has no `probe` at one without a place."""
        kind, name = words.target.kind, words.target.probe
        placeless = self._splits and kind in (
            ProbeKind.INTERVAL,
            ProbeKind.PROFILE,
            ProbeKind.SOFTWARE,
            ProbeKind.HARDWARE,
        )
        return quoted(name.encode("utf-8", "surrogateescape")) if placeless else "probe"

    def _print(self, words: Words, formats: list[str], values: list[str]) -> list[str]:
        is_exec = words.target.shape is Shape.EXEC
        end = "argv=" if is_exec else r"\n"
        when, time_values, before = time_of(self._version)
        head = f"{when}%d %d %d %s %s"
        given = [*time_values, "pid", "tid", words.ppid, "comm", self._own_name(words), *values]
        forms = [*head.split(), *formats, end]
        lines = [*before, *printfs(forms, given, _OLD_FORMAT if self._splits else 0)]
        if is_exec and words.at_end:
            lines += print_kept(words)
        elif is_exec:
            lines += [*(f"// {note}" for note in _JOIN), f"join({words.dot}argv);"]
        return lines


def _filtered(filters: Filters) -> list[str]:
    if filters.cgroup:
        raise Refused("bpftrace cannot follow a control group", "it does not know those below it", "--pid or --tree")
    if filters.namespace:
        why = "it has no way from a task to its pid namespace"
        raise Refused("bpftrace cannot follow a container", why, "--as bcc or libbpf")
    tests = [[f"{name} == {int(value)}" for value in getattr(filters, name)] for name in ("pid", "tid", "uid")]
    tests.append([f"comm == {quoted(name.encode('utf-8', 'surrogateescape'))}" for name in filters.comm])
    if filters.tree:
        tests.append(["@tree[pid]"])
    return [f"({' || '.join(test)})" for test in tests if test]

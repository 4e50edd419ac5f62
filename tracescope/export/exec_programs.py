"""The programs that tell the whole truth about starting processes, for BCC and libbpf out of one text. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from textwrap import indent

from tracescope.attach.ask.scope import scope_of
from tracescope.attach.expression.c_text import compile_condition
from tracescope.attach.expression.check import check_condition
from tracescope.attach.expression.parse import parse
from tracescope.attach.expression.types import Operand, Space, Text
from tracescope.export.c.dialect import Dialect
from tracescope.export.c.helpers import helpers_used
from tracescope.export.c.statements import comment, lines_of, uses
from tracescope.export.exec_tracer import calls_of, is_exec_pair
from tracescope.export.text import template
from tracescope.export.tracer import Tracer

__all__ = ("about_text", "bcc_text", "libbpf_text", "structs_text", "what_text")

_CALLS = 10240
_FILENAME_BYTES = 256
"""As in exec_structs.h."""
_PAIR = """\
Every start of a program and every attempt that failed, one line each:

  exec         when the exec is done; argv as the new program finds it in its memory
  exec_failed  when the call returns an error; argv as the caller gave it
"""
_WHOLE = """\
Every start of a program, every attempt that failed, every end of a process, one line each:

  exec         at sched_process_exec, when the exec is done; argv as the new program finds it in its memory
  exec_failed  when execve or execveat returns an error; argv as the caller gave it
  exit         when the last thread of a process ends: exit code, signal, lifetime since its exec, CPU time

Compared with the other exports of the same probes: BCC and libbpf print the same. bpftrace prints entry and return of
the calls as two lines; it cuts argv at 16 arguments or at an empty one, leaves out what is not in memory at entry, and
does not see how a process ended. Starts of 32-bit programs are seen here, their failures are not. `tracescope exec`
knows more: forks, the executed file behind a script, argv beyond 4 KiB, containers."""
_PAIR_MORE = """
Compared with the other exports of the same pair: BCC and libbpf print the same. bpftrace keeps what it could read at
entry: 8 arguments, empty where their page was not in memory then. 32-bit programs are not seen. Without --pair, both
ends of execve and execveat are written as the whole process tracer, with the ends of processes."""
_READ = re.compile(r"READ\((\w+), ([\w./, ]+)\)")
_RAW = re.compile(r"\bRAW\((\d)\)")
_CALL = re.compile(r"\b(LOOKUP|UPDATE|DELETE|OUTPUT)\(((?:[^()]|\([^()]*\))*)\)")
_TRACEPOINT = "tracepoint/syscalls/"
_FILENAMES = {"execve": 0, "execveat": 1}
"""Where the calls have the file name among their arguments; argv follows."""
_END = """
%(enter_section)sint enter_%(call)s(struct trace_event_raw_sys_enter *ctx)
{
	return enter(%(fd)s, ctx->args[%(filename)d], ctx->args[%(argv)d]);
}

%(exit_section)sint exit_%(call)s(struct trace_event_raw_sys_exit *ctx)
{
	return leave(@CTX@ctx->ret);
}
"""
_MEETS = """\
%(definitions)s/* Only where %(asked)s */
static %(inline)s int meets(struct exec_event *event)
{
%(variables)s%(statements)s	return %(value)s;
}

"""


def about_text(tracer: Tracer) -> str:
    """What the program shows, and what it does not."""
    text = _PAIR + _PAIR_MORE if is_exec_pair(tracer) else _WHOLE
    return "\n".join((text, *(("", *tracer.order) if tracer.order else ())))


def what_text(tracer: Tracer) -> str:
    """The same in one sentence."""
    pair = is_exec_pair(tracer)
    return f"Shows programs that start{' or' if pair else ','} fail to start{'' if pair else ', and end'}."


def structs_text() -> str:
    """The structs that programs and reader share."""
    return template("exec_structs.h", {})


def libbpf_text(tracer: Tracer, dialect: Dialect) -> str:
    """The programs in libbpf's C."""
    values = {
        "CONTEXT": "struct bpf_raw_tracepoint_args *ctx",
        "TASK": "struct task_struct *",
        "TASK_TYPE": "struct task_struct *",
        "BPRM": "struct linux_binprm *",
        "BPRM_TYPE": "struct linux_binprm *",
    }

    def read(match: re.Match[str]) -> str:
        path = [re.sub(r"\w+\.(\w+)", r"\1", step).replace("/", ".") for step in match[2].split(", ")]
        return f"BPF_CORE_READ({match[1]}, {', '.join(path)})"

    text = _text(tracer, dialect, values, lambda section: f'SEC("{section}")\n')
    return _READ.sub(read, _RAW.sub(r"ctx->args[\1]", text))


def bcc_text(tracer: Tracer, dialect: Dialect, members: Callable[[str, str], str]) -> str:
    """The programs in BCC's C; `members` gives the macro for the offset of a struct's member."""
    values = {"CONTEXT": "u64 *ctx", "TASK": "u64 ", "TASK_TYPE": "u64", "BPRM": "u64 ", "BPRM_TYPE": "u64"}

    def read(match: re.Match[str]) -> str:
        value = match[1]
        for step in match[2].split(", "):
            offsets = (members(*part.split(".")) for part in step.split("/"))
            value = f"member({value} + {' + '.join(offsets)})"
        return value

    return _READ.sub(read, _RAW.sub(r"ctx[\1]", _text(tracer, dialect, values, lambda _: "")))


def _text(tracer: Tracer, dialect: Dialect, values: Mapping[str, str], section: Callable[[str], str]) -> str:
    """The text with the dialect's maps and calls in it."""
    pair = is_exec_pair(tracer)
    takes_context = re.search(r"\bctx\b", dialect.output("", "")) is not None
    values = {
        **values,
        **_maps(dialect, pair=pair),
        "INLINE": dialect.inline,
        "LOSE": indent(dialect.lose, "\t\t").strip(),
        "CTX": "ctx, " if takes_context else "",
        "CTX_PARAMETER": "void *ctx, " if takes_context else "",
        "MEETS": _meets(tracer, dialect),
        "TEST": "\tif (!meets(event))\n\t\treturn;\n" if tracer.where.strip() else "",
        # Of a pair the entry was wanted, perhaps by a name that the thread has no more.
        "UNWANTED": "!event || !call" if pair else "!event || !wanted()",
        "ENDS": "".join(_end(call, section) for call in calls_of(tracer)),
        "SECTION": section("raw_tp/sched_process_exec"),
    }
    values["ENDS"] = values["ENDS"].replace("@CTX@", values["CTX"])
    text = template("exec_programs.c.in", values)
    if not pair:
        text += template("exec_exit.c.in", {**values, "SECTION": section("raw_tp/sched_process_exit")})
    return _CALL.sub(lambda match: _call(dialect, match), text)


def _maps(dialect: Dialect, *, pair: bool) -> dict[str, str]:
    """The maps `calls`, `scratch`, and unless the ends of processes are left out, `started`, with what keeps it."""
    calls = dialect.hash_map("calls", "u64", "struct call", _CALLS, lru=True)
    started = f"/* When a process's last exec was done. */\n{dialect.hash_map('started', 'u32', 'u64', 32768)}\n"
    scratch = (
        "/* Events are put together here: an event that is larger than a program's stack. */\n"
        f"{dialect.per_cpu('scratch', 'struct exec_event')}"
    )
    return {
        "MAPS": f"{calls}\n{'' if pair else started}{scratch}",
        "PID": "" if pair else "\tu32 pid;\n",
        "STARTED": "" if pair else "\tpid = event->head.pid;\n\tUPDATE(started, pid, event->head.time_ns);\n",
    }


def _end(call: str, section: Callable[[str], str]) -> str:
    """Both ends of a call."""
    at = _FILENAMES[call]
    values = {f"{end}_section": section(f"{_TRACEPOINT}sys_{end}_{call}") for end in ("enter", "exit")}
    return _END % {**values, "call": call, "fd": "ctx->args[0]" if at else "AT_FDCWD", "filename": at, "argv": at + 1}


def _meets(tracer: Tracer, dialect: Dialect) -> str:
    """The function that looks whether a call meets the condition; raises UsageError."""
    if not tracer.where.strip():
        return ""
    target = tracer.targets[0]
    scope = scope_of(target, tracer.btf)
    known = {
        "filename": Operand(Text(Space.OWN, _FILENAME_BYTES), "event->filename"),
        "ret": scope.builtins["ret"],
    }
    builtins = {**scope.builtins, "comm": Operand(Text(Space.OWN, 16), "event->head.comm")}
    made = compile_condition(
        check_condition(parse(tracer.where), replace(scope, args=known, builtins=builtins)), "where", dialect.offset
    )
    body = made.statements + made.value
    variables = "\ts64 ret = event->ret;\n" if uses(body, "ret") else ""
    variables += "\tu64 duration = event->duration_ns;\n" if uses(body, "duration") else ""
    used = helpers_used(made.definitions + body)
    return _MEETS % {
        "asked": comment(" ".join(tracer.where.split())),
        "definitions": f"{used}{made.definitions.strip()}\n\n" if used or made.definitions.strip() else "",
        "inline": dialect.inline,
        "variables": f"{variables}\n" if variables else "",
        "statements": lines_of(made.statements),
        "value": made.value,
    }


def _call(dialect: Dialect, match: re.Match[str]) -> str:
    first, *rest = match[2].split(", ", 1 if match[1] == "OUTPUT" else -1)
    match match[1]:
        case "LOOKUP":
            return dialect.lookup(first, *rest)
        case "UPDATE":
            return dialect.update(first, *rest)
        case "DELETE":
            return dialect.delete(first, *rest)
    return dialect.output(first, *rest)

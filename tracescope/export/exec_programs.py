"""The programs that tell the whole truth about starting processes, for BCC and libbpf out of one text. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from textwrap import indent

from tracescope.export.c.dialect import Dialect
from tracescope.export.text import template

__all__ = ("ABOUT", "bcc_text", "libbpf_text", "structs_text")

_CALLS = 10240
ABOUT = """\
Every start of a program, every attempt that failed, every end of a process, one line each:

  exec         at sched_process_exec, when the exec is done; argv as the new program finds it in its memory
  exec_failed  when execve or execveat returns an error; argv as the caller gave it
  exit         when the last thread of a process ends: exit code, signal, lifetime since its exec, CPU time

Compared with the other exports of the same probes: BCC and libbpf print the same. bpftrace prints entry and return of
the calls as two lines; it cuts argv at 16 arguments or at an empty one, leaves out what is not in memory at entry, and
does not see how a process ended. Starts of 32-bit programs are seen here, their failures are not. `tracescope exec`
knows more: forks, the executed file behind a script, argv beyond 4 KiB, containers."""
_READ = re.compile(r"READ\((\w+), ([\w./, ]+)\)")
_RAW = re.compile(r"\bRAW\((\d)\)")
_CALL = re.compile(r"\b(LOOKUP|UPDATE|DELETE|OUTPUT)\(((?:[^()]|\([^()]*\))*)\)")
_SECTIONS = {
    "SECTION_ENTER_EXECVE": "tracepoint/syscalls/sys_enter_execve",
    "SECTION_EXIT_EXECVE": "tracepoint/syscalls/sys_exit_execve",
    "SECTION_ENTER_EXECVEAT": "tracepoint/syscalls/sys_enter_execveat",
    "SECTION_EXIT_EXECVEAT": "tracepoint/syscalls/sys_exit_execveat",
    "SECTION_EXEC": "raw_tp/sched_process_exec",
    "SECTION_EXIT": "raw_tp/sched_process_exit",
}


def structs_text() -> str:
    """The structs that programs and reader share."""
    return template("exec_structs.h", {})


def maps_text(dialect: Dialect) -> str:
    """The maps `calls`, `started` and `scratch`."""
    return (
        f"{dialect.hash_map('calls', 'u64', 'struct call', _CALLS, lru=True)}\n"
        f"/* When a process's last exec was done. */\n{dialect.hash_map('started', 'u32', 'u64', 32768)}\n"
        "/* Events are put together here: an event that is larger than a program's stack. */\n"
        f"{dialect.per_cpu('scratch', 'struct exec_event')}"
    )


def libbpf_text(dialect: Dialect) -> str:
    """The programs in libbpf's C."""
    values = {key: f'SEC("{section}")\n' for key, section in _SECTIONS.items()}
    values |= {
        "RAW_CONTEXT": "struct bpf_raw_tracepoint_args *ctx",
        "TASK": "struct task_struct *",
        "TASK_TYPE": "struct task_struct *",
        "BPRM": "struct linux_binprm *",
        "BPRM_TYPE": "struct linux_binprm *",
    }

    def read(match: re.Match[str]) -> str:
        path = [re.sub(r"\w+\.(\w+)", r"\1", step).replace("/", ".") for step in match[2].split(", ")]
        return f"BPF_CORE_READ({match[1]}, {', '.join(path)})"

    return _READ.sub(read, _RAW.sub(r"ctx->args[\1]", _text(dialect, values)))


def bcc_text(dialect: Dialect, members: Callable[[str, str], str]) -> str:
    """The programs in BCC's C; `members` gives the macro for the offset of a struct's member."""
    values = dict.fromkeys(_SECTIONS, "")
    values |= {"RAW_CONTEXT": "u64 *ctx", "TASK": "u64 ", "TASK_TYPE": "u64", "BPRM": "u64 ", "BPRM_TYPE": "u64"}

    def read(match: re.Match[str]) -> str:
        value = match[1]
        for step in match[2].split(", "):
            offsets = (members(*part.split(".")) for part in step.split("/"))
            value = f"member({value} + {' + '.join(offsets)})"
        return value

    return _READ.sub(read, _RAW.sub(r"ctx[\1]", _text(dialect, values)))


def _text(dialect: Dialect, values: Mapping[str, str]) -> str:
    """The text with the dialect's maps and calls in it."""
    lose = indent(dialect.lose, "\t\t").strip()
    values = {**values, "MAPS": maps_text(dialect), "INLINE": dialect.inline, "LOSE": lose}
    takes_context = re.search(r"\bctx\b", dialect.output("", "")) is not None
    values |= {"CTX": "ctx, ", "CTX_PARAMETER": "void *ctx, "} if takes_context else {"CTX": "", "CTX_PARAMETER": ""}
    return _CALL.sub(lambda match: _call(dialect, match), template("exec_programs.c.in", values))


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

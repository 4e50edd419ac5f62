"""The programs that tell the whole truth about starting processes, for BCC and libbpf out of one text. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from tracescope.export.text import template

__all__ = ("ABOUT", "CALLS", "bcc_text", "libbpf_text", "structs_text")

CALLS = 10240
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


def libbpf_text(maps: str) -> str:
    """The programs in libbpf's C; `maps` are `calls`, `started`, `scratch` and `events`."""
    values = {key: f'SEC("{section}")\n' for key, section in _SECTIONS.items()}
    values |= {
        "MAPS": maps,
        "INLINE": "__always_inline",
        "LOSE": "__sync_fetch_and_add(&lost, 1);",
        "RAW_CONTEXT": "struct bpf_raw_tracepoint_args *ctx",
        "TASK": "struct task_struct *",
        "TASK_TYPE": "struct task_struct *",
        "BPRM": "struct linux_binprm *",
        "BPRM_TYPE": "struct linux_binprm *",
    }
    text = template("exec_programs.c.in", values)
    text = re.sub(r"\bRAW\((\d)\)", r"ctx->args[\1]", text)
    text = re.sub(r"\bLOOKUP\((\w+), (\w+)\)", r"bpf_map_lookup_elem(&\1, &\2)", text)
    text = re.sub(r"\bUPDATE\((\w+), (\w+), ([\w.>-]+)\)", r"bpf_map_update_elem(&\1, &\2, &\3, BPF_ANY)", text)
    text = re.sub(r"\bDELETE\((\w+), (\w+)\)", r"bpf_map_delete_elem(&\1, &\2)", text)
    text = re.sub(r"\bOUTPUT\((\w+), ", r"bpf_ringbuf_output(&\1, ", text)
    text = re.sub(r"(bpf_ringbuf_output\(.*)\)\) \{", r"\1, 0)) {", text)
    return _READ.sub(_core_read, text)


def _core_read(match: re.Match[str]) -> str:
    path = [re.sub(r"\w+\.(\w+)", r"\1", step).replace("/", ".") for step in match[2].split(", ")]
    return f"BPF_CORE_READ({match[1]}, {', '.join(path)})"


def bcc_text(members: Callable[[str, str], str]) -> str:
    """The programs in BCC's C; `members` gives the macro for the offset of a struct's member."""
    maps = (
        f'BPF_TABLE("lru_hash", u64, struct call, calls, {CALLS});\n'
        "BPF_HASH(started, u32, u64, 32768);    /* when a process's last exec was done */\n"
        "/* Events are put together here: an event that is larger than a program's stack. */\n"
        "BPF_PERCPU_ARRAY(scratch, struct exec_event, 1);\n"
    )
    values = dict.fromkeys(_SECTIONS, "")
    values |= {
        "MAPS": maps,
        "INLINE": "inline",
        "LOSE": "int zero = 0;\n\n\t\tlost.atomic_increment(zero);",
        "RAW_CONTEXT": "u64 *ctx",
        "TASK": "u64 ",
        "TASK_TYPE": "u64",
        "BPRM": "u64 ",
        "BPRM_TYPE": "u64",
    }
    text = template("exec_programs.c.in", values)
    text = re.sub(r"\bRAW\((\d)\)", r"ctx[\1]", text)
    text = re.sub(r"\bLOOKUP\((\w+), (\w+)\)", r"\1.lookup(&\2)", text)
    text = re.sub(r"\bUPDATE\((\w+), (\w+), ([\w.>-]+)\)", r"\1.update(&\2, &\3)", text)
    text = re.sub(r"\bDELETE\((\w+), (\w+)\)", r"\1.delete(&\2)", text)
    text = re.sub(r"\bOUTPUT\((\w+), (.*)\)\) \{", r"\1.ringbuf_output(\2, 0)) {", text)

    def read(match: re.Match[str]) -> str:
        value = match[1]
        for step in match[2].split(", "):
            offsets = (members(*part.split(".")) for part in step.split("/"))
            value = f"member({value} + {' + '.join(offsets)})"
        return value

    return _READ.sub(read, text)

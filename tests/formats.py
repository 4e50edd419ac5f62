"""Event formats for the tests of attach, as kernels write them."""

from __future__ import annotations

from tracescope.attach.record.offsets import Offsets
from tracescope.model import EventFormat
from tracescope.sources.tracefs import parse_format

_COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
"""


def event_format(name: str, fields: str, print_fmt: str = '""', group: str = "test", number: int = 1) -> EventFormat:
    text = f"name: {name}\nID: {number}\nformat:\n{_COMMON}\n{fields}\nprint fmt: {print_fmt}\n"
    return parse_format(text.encode(), group)


SWITCH = event_format(
    "sched_switch",
    """\
\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:pid_t prev_pid;\toffset:24;\tsize:4;\tsigned:1;
\tfield:int prev_prio;\toffset:28;\tsize:4;\tsigned:1;
\tfield:long prev_state;\toffset:32;\tsize:8;\tsigned:1;
\tfield:char next_comm[16];\toffset:40;\tsize:16;\tsigned:0;
\tfield:pid_t next_pid;\toffset:56;\tsize:4;\tsigned:1;
\tfield:int next_prio;\toffset:60;\tsize:4;\tsigned:1;
""",
    '"prev_state=%s", __print_flags(REC->prev_state, "|", { 0x01, "S" }, { 0x02, "D" }, { 0x10, "X" })',
    "sched",
)
DATA_LOC = event_format(
    "with_bytes",
    """\
\tfield:__data_loc char[] name;\toffset:8;\tsize:4;\tsigned:0;
\tfield:u8 tiny;\toffset:12;\tsize:1;\tsigned:0;
\tfield:__data_loc u8[] data;\toffset:16;\tsize:4;\tsigned:0;
\tfield:bool yes;\toffset:20;\tsize:1;\tsigned:0;
""",
)
REL_LOC = event_format(
    "with_rel",
    """\
\tfield:int number;\toffset:8;\tsize:4;\tsigned:1;
\tfield:__rel_loc char[] name;\toffset:12;\tsize:4;\tsigned:0;
""",
)
KINDS = event_format(
    "kinds",
    """\
\tfield:s8 s8;\toffset:8;\tsize:1;\tsigned:1;
\tfield:u8 u8;\toffset:9;\tsize:1;\tsigned:0;
\tfield:short s16;\toffset:10;\tsize:2;\tsigned:1;
\tfield:u32 u32;\toffset:12;\tsize:4;\tsigned:0;
\tfield:long s64;\toffset:16;\tsize:8;\tsigned:1;
\tfield:unsigned long u64;\toffset:24;\tsize:8;\tsigned:0;
\tfield:void * pointer;\toffset:32;\tsize:8;\tsigned:0;
\tfield:char text[8];\toffset:40;\tsize:8;\tsigned:0;
\tfield:u8 mac[6];\toffset:48;\tsize:6;\tsigned:0;
\tfield:bool yes;\toffset:54;\tsize:1;\tsigned:0;
\tfield:struct thing thing;\toffset:56;\tsize:12;\tsigned:0;
\tfield:int state;\toffset:68;\tsize:4;\tsigned:1;
""",
    '"%s", __print_symbolic(REC->state, { -1, "GONE" }, { 0, "NEW" }, { 2, "OLD" })',
)

_NUMBER = "\tfield:int __syscall_nr;\toffset:8;\tsize:4;\tsigned:1;\n"
OPENAT = event_format(
    "sys_enter_openat",
    _NUMBER
    + """\
\tfield:int dfd;\toffset:16;\tsize:8;\tsigned:0;
\tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;
\tfield:int flags;\toffset:32;\tsize:8;\tsigned:0;
\tfield:umode_t mode;\toffset:40;\tsize:8;\tsigned:0;
""",
    group="syscalls",
)
OPENAT_EXIT = event_format(
    "sys_exit_openat", _NUMBER + "\tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n", group="syscalls"
)
_EXECVE = """\
\tfield:const char * filename;\toffset:16;\tsize:8;\tsigned:0;
\tfield:const char *const * argv;\toffset:24;\tsize:8;\tsigned:0;
\tfield:const char *const * envp;\toffset:32;\tsize:8;\tsigned:0;
"""
_NEWER = "\tfield:__data_loc char[] __filename_val;\toffset:40;\tsize:4;\tsigned:0;\n"
EXEC_FORMATS = (
    event_format("sys_enter_execve", _NUMBER + _EXECVE, group="syscalls", number=1),
    event_format("sys_enter_execve", _NUMBER + _EXECVE + _NEWER, group="syscalls", number=2),
)
EXECVEAT = event_format(
    "sys_enter_execveat",
    _NUMBER
    + """\
\tfield:int fd;\toffset:16;\tsize:8;\tsigned:0;
\tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;
\tfield:const char *const * argv;\toffset:32;\tsize:8;\tsigned:0;
\tfield:const char *const * envp;\toffset:40;\tsize:8;\tsigned:0;
\tfield:int flags;\toffset:48;\tsize:8;\tsigned:0;
""",
    group="syscalls",
)

OFFSETS = Offsets(real_parent=1280, tgid=1268, mm=1136, arg_start=480, arg_end=488, pid=1264, comm=1752, typed=1)


def _pids(*names: str) -> str:
    return "".join(
        f"\tfield:pid_t {name};\toffset:{12 + 4 * at};\tsize:4;\tsigned:1;\n" for at, name in enumerate(names)
    )


_FILENAME = "\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n"
HELPERS = {
    "sched:sched_process_fork": event_format("sched_process_fork", _pids("parent_pid", "child_pid"), group="sched"),
    "sched:sched_process_exec": event_format("sched_process_exec", _FILENAME + _pids("pid", "old_pid"), group="sched"),
    "sched:sched_process_exit": event_format("sched_process_exit", _pids("pid"), group="sched"),
    "sched:sched_prepare_exec": event_format("sched_prepare_exec", _FILENAME + _pids("pid"), group="sched"),
    "syscalls:sys_exit_execve": event_format("sys_exit_execve", _NUMBER, group="syscalls"),
    "syscalls:sys_exit_execveat": event_format("sys_exit_execveat", _NUMBER, group="syscalls"),
}

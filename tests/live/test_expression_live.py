"""Expressions in this kernel: what compiled conditions let through, and what chains read, against the arguments passed
and against /proc."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import random
import resource
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from attached import HOST, format_of
from expressions import PARTS, WIDTHS, Grammar

from tracescope.attach.backend import BccBackend
from tracescope.attach.expression.c_helpers import HELPERS
from tracescope.attach.expression.c_text import compile_condition, compile_value, copy_text
from tracescope.attach.expression.check import check_condition, check_value
from tracescope.attach.expression.mistake import ExpressionError
from tracescope.attach.expression.parse import DEEPEST, parse
from tracescope.attach.expression.python_value import holds
from tracescope.attach.expression.scope import Scope
from tracescope.attach.expression.types import Operand, Pointer, Space, Text
from tracescope.attach.kernel import bpf
from tracescope.attach.kernel.perf_event import attach_tracepoint
from tracescope.sources import btf
from tracescope.sources.btf import Btf

EVENT = "syscalls:sys_enter_process_vm_readv"
# With flags it answers EINVAL before it looks at anything else: six arguments that may be anything.
CALL = {"x86_64": 310, "aarch64": 270, "riscv64": 270}.get(platform.machine())
BATCH = 32
MAPS = """
BPF_ARRAY(passed, u64, %d);
BPF_ARRAY(values, u64, 64);
struct text { char bytes[64]; };
BPF_ARRAY(texts, struct text, 64);
"""
PROBE = """
int probe_%(index)d(u64 *ctx)
{
    u32 index = %(index)d;
    u64 mask = 0, *out = passed.lookup(&index);
    char comm[16] __attribute__((aligned(8)));

    if (!out || bpf_get_current_pid_tgid() >> 32 != %(pid)d)
        return 0;
    bpf_get_current_comm(comm, sizeof(comm));
%(body)s
    *out = mask;
    return 0;
}
"""


@pytest.fixture(scope="module")
def table(require) -> Btf:
    require(Path("/sys/kernel/btf/vmlinux").exists(), "the kernel has no BTF")
    return btf.read(HOST)


@contextmanager
def running(text: str, event_name: str = EVENT) -> Iterator[Mapping[str, int]]:
    """The maps of a program text, all its `probe_N` hanging on the event."""
    with BccBackend().load(text) as loaded, ExitStack() as stack:
        assert not loaded.refused, "\n".join(f"{error}\n{error.log[-3000:]}" for error in loaded.refused.values())
        for program in loaded.programs.values():
            event = attach_tracepoint(format_of(event_name), program)
            stack.callback(os.close, event)
        # A thread that loaded programs is joined a moment before the kernel forgets it.
        while len(os.listdir("/proc/self/task")) > threading.active_count():
            time.sleep(0.001)
        yield loaded.maps


def call(*arguments: int) -> None:
    """The system call that changes nothing; up to five arguments."""
    words = [ctypes.c_ulong(argument & (1 << 64) - 1) for argument in (*arguments, *[0] * (5 - len(arguments)), 1)]
    libc = ctypes.CDLL(None, use_errno=True)
    assert (libc.syscall(ctypes.c_long(CALL), *words), ctypes.get_errno()) == (-1, errno.EINVAL)


def word(maps: Mapping[str, int], name: str, index: int) -> int:
    return int.from_bytes(bpf.map_lookup(maps[name], struct.pack("=I", index), 8), sys.byteorder)


def call_scope(table: Btf) -> Scope:
    """Numbers of every type in the first two arguments, then two pointers to text, then one to a struct."""
    args = {f"a_{name}": Operand(type_, "ctx[2]") for name, type_ in WIDTHS.items()}
    args |= {f"b_{name}": Operand(type_, "ctx[3]") for name, type_ in WIDTHS.items()}
    args |= {"name": Operand(Text(Space.USER), "ctx[4]"), "array": Operand(Text(Space.USER, 16), "ctx[5]")}
    args["socket"] = Operand(Pointer(table.find("struct sockaddr_in") or 0, Space.USER), "ctx[6]")
    task = Operand(Pointer(table.find("struct task_struct") or 0, Space.KERNEL), "bpf_get_current_task()")
    return Scope({"comm": Operand(Text(Space.OWN, 16), "comm"), "task": task}, args, table)


SOCKET = ("args.socket->sin_family", "args.socket->sin_port", "args.socket->sin_addr.s_addr")
TEXTS = ("args.name", "args.array", "comm", "task->comm")


def program(conditions: Sequence[object]) -> str:
    """Every condition sets its bit."""
    parts = [MAPS % 16, HELPERS]
    for index in range(0, len(conditions), BATCH):
        made = [
            compile_condition(typed, f"c{index + bit}") for bit, typed in enumerate(conditions[index : index + BATCH])
        ]
        lines = [
            f"{one.statements}    if ({one.value})\n        mask |= 1ULL << {bit};" for bit, one in enumerate(made)
        ]
        body = "\n".join(lines).replace("    {", "{")
        parts += [one.definitions for one in made]
        parts.append(PROBE % {"index": index // BATCH, "pid": os.getpid(), "body": body})
    return "".join(parts)


@pytest.fixture
def comm() -> Iterator[Path]:
    """The file that holds this thread's name, which a test may change."""
    path = Path("/proc/thread-self/comm")
    before = path.read_bytes()
    yield path
    path.write_bytes(before.rstrip(b"\n") + b"\0")


@pytest.mark.parametrize("seed", range(2))
def test_the_kernel_lets_through_what_python_does(seed: int, table: Btf, comm: Path, require):
    require(CALL is not None, "a machine whose system calls are not known here")
    scope = call_scope(table)
    numbers = [f"args.{side}_{name}" for side in "ab" for name in WIDTHS] + [*SOCKET, "task->tgid"]
    grammar = Grammar(random.Random(seed), numbers, TEXTS)
    made: list[tuple[str, object]] = []
    while len(made) < 6 * BATCH:
        text = grammar.condition()
        try:
            made.append((text, check_condition(parse(text), scope)))
        except ExpressionError:
            continue
    seen = {True: 0, False: 0}
    with running(program([typed for _, typed in made])) as maps:
        for turn in range(60):
            name = grammar.random.choice(PARTS).encode()[:15]
            comm.write_bytes(name + b"\0")
            values, arguments, kept = call_values(grammar, name)
            call(*arguments)
            for index, (text, typed) in enumerate(made):
                passed = bool(word(maps, "passed", index // BATCH) >> index % BATCH & 1)
                assert passed == holds(typed, values), (turn, text, values)
                seen[passed] += 1
            assert kept is not None
    assert min(seen.values()) > 500


def call_values(grammar: Grammar, comm: bytes) -> tuple[dict[str, int | bytes | None], list[int], list[object]]:
    """What the operands are, the call's arguments, and what must live as long as the call."""
    first, second = grammar.word(), grammar.word()
    values: dict[str, int | bytes | None] = {f"args.a_{name}": first for name in WIDTHS}
    values |= {f"args.b_{name}": second for name in WIDTHS}
    name, array = (grammar.random.choice(PARTS).encode() for _ in range(2))
    buffers = [ctypes.create_string_buffer(name), ctypes.create_string_buffer(array.ljust(16, b"\0"), 16)]
    address = struct.pack(
        "=HHI8x", grammar.random.choice((2, 10)), grammar.word() & 0xFFFF, grammar.word() & 0xFFFFFFFF
    )
    buffers.append(ctypes.create_string_buffer(address, 16))
    present = [grammar.random.random() > 0.15 for _ in buffers]
    found = [content if there else None for content, there in zip((name, array, address), present, strict=True)]
    values |= {
        "args.name": found[0],
        "args.array": found[1],
        "comm": comm,
        "task->comm": comm,
        "task->tgid": os.getpid(),
    }
    values |= dict(zip(SOCKET, struct.unpack("=HHI8x", address) if found[2] else (None,) * 3, strict=True))
    pointers = [ctypes.addressof(buffer) if there else 0 for buffer, there in zip(buffers, present, strict=True)]
    return values, [first, second, *pointers], buffers


def test_the_deepest_the_longest_and_the_widest_load(table: Btf, require):
    require(CALL is not None, "a machine whose system calls are not known here")
    scope = call_scope(table)
    level, deep = "0 || 1 && 1 == (0 | 1 ^ 1 & 1 << 0 * {})", "args.a_u8"
    while True:
        try:
            parse(level.replace("{}", f"({deep})"))
        except ExpressionError:
            break
        deep = f"({level.replace('{}', deep)})"
    texts = [f'args.name != "{letter * 64}" && args.array =~ "*{letter * 15}"' for letter in "abcdefghijkl"]
    conditions = [
        deep,
        "!" * (DEEPEST - 2) + "args.a_u8",
        "-" * (DEEPEST - 3) + "args.a_u8 == 7",
        "args.a_u8 == 7" + " / 1 % args.b_u8" * ((DEEPEST - 4) // 2),
        " || ".join(f"args.a_u8 == {number}" for number in range(200)),
        " && ".join(texts),
        "task" + "->real_parent" * (DEEPEST - 8) + "->tgid >= 0",
        'comm =~ "*x" || args.name =~ "*y" && args.array =~ "*z" || task->comm =~ "a*b"',
    ]
    typed = [check_value(parse(text), scope) for text in conditions]
    with running(program(typed)) as maps:
        call(7, 5)
        assert word(maps, "passed", 0) != 0


def texts_of(maps: Mapping[str, int], index: int) -> bytes:
    return bpf.map_lookup(maps["texts"], struct.pack("=I", index), 64).partition(b"\0")[0]


COPY = """
    {
%s        u32 where = %d;
        u64 *number = values.lookup(&where);
        struct text *text = texts.lookup(&where);

        if (number && text)
            *number = %s ? 4711 : %s;
    }
"""


def reading(expressions: Sequence[str], scope: Scope) -> str:
    """A program that puts each number into `values`, each text into `texts` and its size into `values`."""
    parts, body = [MAPS % 16, HELPERS], ""
    for index, text in enumerate(expressions):
        made = compile_value(check_value(parse(text), scope), f"v{index}")
        is_text = isinstance(made.type, Text)
        value = copy_text(made, "text->bytes", 64) if is_text else made.value
        parts.append(made.definitions)
        body += COPY % (made.statements, index, made.failed, value)
    return "".join([*parts, PROBE % {"index": 0, "pid": os.getpid(), "body": body}])


def test_chains_from_the_current_task_read_what_proc_says(table: Btf, require):
    require(CALL is not None, "a machine whose system calls are not known here")
    executable, place = os.stat("/proc/self/exe"), Path.cwd()
    status = dict(line.split(":\t", 1) for line in Path("/proc/thread-self/status").read_text().splitlines())
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    numbers = {
        "task->tgid": os.getpid(),
        "task->pid": int(status["Pid"]),
        "task->real_parent->tgid": os.getppid(),
        "task->group_leader->pid": os.getpid(),
        "task->real_parent->real_parent->tgid": parent_of(os.getppid()),
        "task->cred->uid.val": os.getuid(),
        "task->cred->egid.val": os.getegid(),
        "task->real_cred->cap_effective.val": int(status["CapEff"], 16),
        "task->signal->rlim[7].rlim_cur": limits[0] & (1 << 64) - 1,
        "task->signal->rlim[7]->rlim_max": limits[1] & (1 << 64) - 1,
        "task->signal->nr_threads": int(status["Threads"]),
        "task->prio - 120 == task->static_prio - 120": 1,
        "task->static_prio - 120": os.getpriority(os.PRIO_PROCESS, 0),
        "task->mm->exe_file->f_path.dentry->d_inode->i_size": executable.st_size,
        "task->mm->exe_file->f_inode->i_mode": executable.st_mode,
        "task->mm->exe_file->f_path.dentry->d_name.len": len(Path("/proc/self/exe").resolve().name),
        "task->mm->start_code": int(fields[23]),
        "task->mm->arg_start": int(fields[45]),
        "task->fs->umask": int(status["Umask"], 8),
        "task->nsproxy->uts_ns->ns.inum": os.stat("/proc/self/ns/uts").st_ino,
        "task->flags & 0x200000": 0,
        "task->thread_pid->numbers[0].nr": int(status["Pid"]),
    }
    texts = {
        "task->comm": Path("/proc/thread-self/comm").read_bytes().rstrip(b"\n"),
        "comm": Path("/proc/thread-self/comm").read_bytes().rstrip(b"\n"),
        "task->mm->exe_file->f_path.dentry->d_name.name": os.fsencode(Path("/proc/self/exe").resolve().name),
        "task->fs->pwd.dentry->d_name.name": os.fsencode(place.name),
        "task->fs->pwd.dentry->d_parent->d_name.name": os.fsencode(place.parent.name),
        "task->nsproxy->uts_ns->name.nodename": os.uname().nodename.encode(),
        "task->nsproxy->uts_ns->name.release": os.uname().release.encode(),
        "task->real_parent->comm": Path(f"/proc/{os.getppid()}/comm").read_bytes().rstrip(b"\n"),
    }
    scope = call_scope(table)
    with running(reading([*numbers, *texts], scope)) as maps:
        call(0)
        for index, (text, wanted) in enumerate(numbers.items()):
            assert word(maps, "values", index) == wanted & (1 << 64) - 1, text
        for index, (text, content) in enumerate(texts.items(), len(numbers)):
            assert texts_of(maps, index) == content, text
            assert word(maps, "values", index) == len(content) + 1, text


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_what_cannot_be_read_is_said_to_have_failed(table: Btf, require):
    require(CALL is not None, "a machine whose system calls are not known here")
    expressions = ["args.socket->sin_port", "args.a_s64", "task->mm->owner->mm->arg_start", "args.name"]
    with running(reading(expressions, call_scope(table))) as maps:
        call(5, 0, 0, 0, 8)
        assert [word(maps, "values", 0), word(maps, "values", 1)] == [4711, 5]
        assert word(maps, "values", 3) == -errno.EFAULT & (1 << 64) - 1


def test_a_bitfield_is_read_as_the_kernel_sets_it(table: Btf, require):
    require(CALL is not None, "a machine whose system calls are not known here")
    policy = os.sched_getscheduler(0)
    expressions = ["task->sched_reset_on_fork", "task->in_execve", "task->sched_reset_on_fork + 2 * task->in_execve"]
    with running(reading(expressions, call_scope(table))) as maps:
        found = []
        for flag in (os.SCHED_RESET_ON_FORK, 0):
            os.sched_setscheduler(0, policy | flag, os.sched_param(0))
            call(0)
            found.append([word(maps, "values", index) for index in range(3)])
    assert found == [[1, 0, 1], [0, 0, 0]]


def test_texts_in_the_tracepoints_own_record_are_compared_in_place(comm: Path):
    fields = {field.name: field for field in format_of("task:task_rename").fields}
    places = {name: fields[name].offset for name in ("oldcomm", "newcomm")}
    args = {name: Operand(Text(Space.OWN, 16, at & -at), "ctx", at) for name, at in places.items()}
    # Loads from the very addresses that are passed on elsewhere.
    args |= {f"{name}_word": Operand(WIDTHS["u32"], f"*(u32 *)((char *)ctx + {at})") for name, at in places.items()}
    conditions = [
        'args.newcomm == "fifteen-letters"',
        'args.newcomm == "fifteen-letter"',
        'args.oldcomm == "before"',
        'args.oldcomm != "before"',
        'args.newcomm =~ "fifteen*"',
        'args.newcomm =~ "*letters"',
        'args.oldcomm =~ "b*e"',
        "args.oldcomm == args.newcomm",
        "args.newcomm != args.oldcomm",
        "args.newcomm[0] == 0x66",
        "args.newcomm_word == 0x74666966 && args.oldcomm_word == 0x6f666562",
    ]
    typed = [check_condition(parse(text), Scope(args=args)) for text in conditions]
    comm.write_bytes(b"before\0")
    with running(program(typed), "task:task_rename") as maps:
        comm.write_bytes(b"fifteen-letters\0")
        values = {"args.oldcomm": b"before", "args.newcomm": b"fifteen-letters", "args.newcomm[0]": 0x66}
        values |= {f"args.{name}_word": int.from_bytes(values[f"args.{name}"][:4], "little") for name in places}
        passed = [bool(word(maps, "passed", 0) >> bit & 1) for bit in range(len(typed))]
    assert passed == [holds(one, values) for one in typed]
    assert passed == [True, False, True, False, True, True, True, False, True, True, True]


def test_a_dynamic_text_and_members_behind_an_argument_of_a_tracepoint(table: Btf, require):
    require(HOST.exists(f"{HOST.tracefs}/events/net/net_dev_queue/format"), "no tracepoint net:net_dev_queue")
    fields = {field.name: field.offset for field in format_of("net:net_dev_queue").fields}
    where = f"(*(u32 *)((char *)ctx + {fields['name']}) & 0xffff)"
    args = {
        "name": Operand(Text(Space.KERNEL), f"ts_address(ctx) + {where}"),
        "len": Operand(WIDTHS["u32"], f"*(u32 *)((char *)ctx + {fields['len']})"),
        "skbaddr": Operand(
            Pointer(table.find("struct sk_buff") or 0, Space.KERNEL), f"*(u64 *)((char *)ctx + {fields['skbaddr']})"
        ),
    }
    scope = Scope(args=args, btf=table)
    numbers = ["args.len", "args.skbaddr->len", "args.skbaddr->dev->ifindex", "args.skbaddr->data[0] & 0xff"]
    texts = ["args.name", "args.skbaddr->dev->name"]
    with running(reading([*numbers, *texts], scope), "net:net_dev_queue") as maps:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", 0))
            receiver.sendto(b"x" * 1000, receiver.getsockname())
        found = [word(maps, "values", index) for index in range(4)]
        named = [texts_of(maps, index) for index in (4, 5)]
    # 14 bytes of Ethernet, 20 of IP, 8 of UDP.
    assert found[:3] == [1042, 1042, socket.if_nametoindex("lo")]
    assert named == [b"lo", b"lo"]

"""The system calls that attaching needs and Python does not have: bpf(2) and perf_event_open(2).

Source: include/uapi/linux/bpf.h (`union bpf_attr`), include/uapi/linux/perf_event.h (`struct perf_event_attr`). What
is made here are close-on-exec file descriptors: when the process dies, however it dies, the kernel takes it down.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import resource
import struct
from contextlib import suppress

from tracescope.host import Host

__all__ = (
    "RAW_TRACEPOINT",
    "RINGBUF",
    "TRACEPOINT",
    "enable_run_stats",
    "enable_tracepoint",
    "load_program",
    "map_create",
    "map_delete",
    "map_lookup",
    "map_update",
    "open_raw_tracepoint",
    "open_tracepoint",
    "possible_cpus",
    "recursion_misses",
)

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _PROG_LOAD = 0, 1, 2, 3, 5
_RAW_TRACEPOINT_OPEN = 17
_ENABLE_STATS, _STATS_RUN_TIME = 32, 0
_PERF_TYPE_TRACEPOINT = 2
_PERF_FLAG_FD_CLOEXEC = 8
_PERF_ATTR_SIZE = 112
_PERF_ATTR_DISABLED = 1
_IOC_ENABLE, _IOC_SET_BPF = 0x2400, 0x40042408
_LOG_SIZE = 4 << 20
_INSTRUCTION = 8

# (bpf, perf_event_open); arm64, riscv64 and loongarch64 share the generic table.
_NUMBERS = {"x86_64": (321, 298), "s390x": (351, 331), "ppc64le": (361, 319)}
_BPF, _PERF_EVENT_OPEN = _NUMBERS.get(platform.machine(), (280, 241))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


TRACEPOINT = 5
"""`BPF_PROG_TYPE_TRACEPOINT`."""
RAW_TRACEPOINT = 17
"""`BPF_PROG_TYPE_RAW_TRACEPOINT`: its context is the tracepoint's own arguments."""
RINGBUF = 27
"""`BPF_MAP_TYPE_RINGBUF`."""


def _syscall(number: int, *arguments: object) -> int:
    """The system call's result; raises OSError. ctypes lets go of the GIL meanwhile."""
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _bpf(command: int, attr: bytes) -> int:
    return _syscall(_BPF, ctypes.c_int(command), ctypes.create_string_buffer(attr, len(attr)), ctypes.c_uint(len(attr)))


def _name(text: str) -> bytes:
    """An object name as the kernel takes it: 15 bytes and a NUL."""
    return text.encode("ascii")[:15].ljust(16, b"\0")


def map_create(kind: int, key: int, value: int, entries: int, flags: int, name: str) -> int:
    """A new map; sizes in bytes."""
    attr = struct.pack("=7I16s", kind, key, value, entries, flags, 0, 0, _name(name))
    try:
        return _bpf(_MAP_CREATE, attr)
    except PermissionError:
        # Before memory cgroups accounted for maps they were locked memory, and the default limit is 64 KiB.
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return _bpf(_MAP_CREATE, attr)


def _element(command: int, fd: int, key: bytes, value: ctypes.Array[ctypes.c_char] | None) -> None:
    key_buffer = ctypes.create_string_buffer(key, len(key))
    address = ctypes.addressof(value) if value is not None else 0
    _bpf(command, struct.pack("=IIQQQ", fd, 0, ctypes.addressof(key_buffer), address, 0))


def map_lookup(fd: int, key: bytes, size: int) -> bytes:
    """The value under `key`, `size` bytes (for a per-CPU map: of all possible CPUs)."""
    value = ctypes.create_string_buffer(size)
    _element(_MAP_LOOKUP, fd, key, value)
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Put `value` under `key`."""
    _element(_MAP_UPDATE, fd, key, ctypes.create_string_buffer(value, len(value)))


def map_delete(fd: int, key: bytes) -> None:
    """Take `key` out."""
    _element(_MAP_DELETE, fd, key, None)


def load_program(kind: int, code: bytes, name: str) -> tuple[int, str]:
    """A loaded program and "", or -errno and the verifier's log."""
    try:
        return _load(kind, code, name, None), ""
    except OSError as error:
        refused = error.errno or errno.EINVAL
    # Only a refused program is worth the log: writing it makes the verifier several times slower.
    log = ctypes.create_string_buffer(_LOG_SIZE)
    try:
        return _load(kind, code, name, log), ""
    except OSError:
        return -refused, log.value.decode("utf-8", "replace")


def _load(kind: int, code: bytes, name: str, log: ctypes.Array[ctypes.c_char] | None) -> int:
    buffer = ctypes.create_string_buffer(code, len(code))
    # The helpers that read memory are for programs with a GPL-compatible licence.
    licence = ctypes.create_string_buffer(b"GPL")
    level, size, address = (1, _LOG_SIZE, ctypes.addressof(log)) if log is not None else (0, 0, 0)
    attr = struct.pack(
        "=IIQQIIQII16s",
        *(kind, len(code) // _INSTRUCTION, ctypes.addressof(buffer), ctypes.addressof(licence)),
        *(level, size, address, 0, 0, _name(name)),
    )
    return _bpf(_PROG_LOAD, attr)


def open_tracepoint(event_id: int) -> int:
    """A perf event for the tracepoint, not yet enabled; raises OSError."""
    attr = struct.pack("=IIQQQQQ", _PERF_TYPE_TRACEPOINT, _PERF_ATTR_SIZE, event_id, 1, 0, 0, _PERF_ATTR_DISABLED)
    buffer = ctypes.create_string_buffer(attr.ljust(_PERF_ATTR_SIZE, b"\0"), _PERF_ATTR_SIZE)
    # A program on a tracepoint runs on every CPU whatever the event's own CPU is.
    everyone, first_cpu, no_group = ctypes.c_int(-1), ctypes.c_int(0), ctypes.c_int(-1)
    return _syscall(_PERF_EVENT_OPEN, buffer, everyone, first_cpu, no_group, ctypes.c_ulong(_PERF_FLAG_FD_CLOEXEC))


def enable_tracepoint(event: int, program: int) -> None:
    """Hang the program on the perf event; it runs from here on until the event is closed. Raises OSError."""
    fcntl.ioctl(event, _IOC_SET_BPF, program)
    fcntl.ioctl(event, _IOC_ENABLE, 0)


def open_raw_tracepoint(name: str, program: int) -> int:
    """Hang the program on the raw tracepoint; it runs from here on until the descriptor is closed. Raises OSError."""
    text = ctypes.create_string_buffer(name.encode("ascii"))
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QII", ctypes.addressof(text), program, 0))


def recursion_misses(program: int) -> int:
    """How often the kernel skipped the program because another one was running on that CPU; 0 where it does not say."""
    with open(f"/proc/self/fdinfo/{program}", encoding="ascii", errors="replace") as info:
        for line in info:
            if line.startswith("recursion_misses:"):
                return int(line.split()[1])
    return 0


def enable_run_stats() -> int:
    """A descriptor that keeps the kernel counting the runs of all programs, and their time. Raises OSError."""
    return _bpf(_ENABLE_STATS, struct.pack("=I", _STATS_RUN_TIME))


def possible_cpus(host: Host) -> int:
    """How many values an element of a per-CPU map has: the highest possible CPU and those below."""
    text = host.read("/sys/devices/system/cpu/possible").decode("ascii", "replace")
    return max(int(part.split("-")[-1]) for part in text.split(",")) + 1

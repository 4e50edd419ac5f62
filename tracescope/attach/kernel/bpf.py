"""The system calls that attaching needs and Python does not have, bpf(2) and perf_event_open(2); maps and perf events.

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
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from tracescope.host import Host

__all__ = (
    "EVERY_PROCESS",
    "PERF_EVENT_ARRAY",
    "PERF_TRACEPOINT",
    "RINGBUF",
    "PerfAttr",
    "bpf",
    "enable_event",
    "enable_run_stats",
    "map_batches",
    "map_create",
    "map_delete",
    "map_lookup",
    "map_update",
    "object_name",
    "online_cpus",
    "open_event",
    "open_raw_tracepoint",
    "possible_cpus",
    "recursion_misses",
    "set_program",
)

_MAP_CREATE, _MAP_LOOKUP, _MAP_UPDATE, _MAP_DELETE, _MAP_NEXT_KEY = 0, 1, 2, 3, 4
_MAP_LOOKUP_BATCH = 24
_RAW_TRACEPOINT_OPEN = 17
_ENABLE_STATS, _STATS_RUN_TIME = 32, 0
_PERF_FLAG_FD_CLOEXEC = 8
_ATTR_SIZE = 112
_DISABLED = 1
_BATCH_BYTES = 4 << 20
# The kernel's ENOTSUPP, which user space has no name for, among them.
_NO_BATCHES = (errno.EINVAL, errno.EOPNOTSUPP, 524)

# (bpf, perf_event_open); arm64, riscv64 and loongarch64 share the generic table.
_NUMBERS = {"x86_64": (321, 298), "s390x": (351, 331), "ppc64le": (361, 319)}
_BPF, _PERF_EVENT_OPEN = _NUMBERS.get(platform.machine(), (280, 241))
# These numbers hold their direction: PowerPC writes it otherwise.
_IOC_ENABLE, _IOC_SET_BPF = (0x20002400, 0x80042408) if platform.machine() == "ppc64le" else (0x2400, 0x40042408)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


RINGBUF = 27
"""`BPF_MAP_TYPE_RINGBUF`."""
PERF_EVENT_ARRAY = 4
"""`BPF_MAP_TYPE_PERF_EVENT_ARRAY`."""
PERF_TRACEPOINT = 2
"""`PERF_TYPE_TRACEPOINT`."""
EVERY_PROCESS = -1
"""The process id that stands for all."""


def _syscall(number: int, *arguments: object) -> int:
    """The system call's result; raises OSError. ctypes lets go of the GIL meanwhile."""
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def bpf(command: int, attr: bytes | ctypes.Array[ctypes.c_char]) -> int:
    """The system call, with the bytes of its `union bpf_attr` or a buffer that it may answer in; raises OSError."""
    buffer = ctypes.create_string_buffer(attr, len(attr)) if isinstance(attr, bytes) else attr
    return _syscall(_BPF, ctypes.c_int(command), buffer, ctypes.c_uint(len(attr)))


def object_name(text: str) -> bytes:
    """An object name as the kernel takes it: 15 bytes and a NUL."""
    return text.encode("ascii")[:15].ljust(16, b"\0")


def map_create(kind: int, key: int, value: int, entries: int, flags: int, name: str) -> int:
    """A new map; sizes in bytes."""
    attr = struct.pack("=7I16s", kind, key, value, entries, flags, 0, 0, object_name(name))
    try:
        return bpf(_MAP_CREATE, attr)
    except PermissionError:
        # Before memory cgroups accounted for maps they were locked memory, and the default limit is 64 KiB.
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return bpf(_MAP_CREATE, attr)


def _element(command: int, fd: int, key: bytes, value: ctypes.Array[ctypes.c_char] | None) -> None:
    key_buffer = ctypes.create_string_buffer(key, len(key))
    address = ctypes.addressof(value) if value is not None else 0
    bpf(command, struct.pack("=IIQQQ", fd, 0, ctypes.addressof(key_buffer), address, 0))


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


def map_batches(fd: int, key: int, value: int) -> Iterator[tuple[int, bytes, bytes]]:
    """All elements of a hash map, many at a time: how many, their keys and values one behind the other; sizes in bytes.

    Every element that was there at the beginning comes once, unless it is taken out meanwhile.
    """
    count = max(64, _BATCH_BYTES // (key + value))
    place, at = ctypes.create_string_buffer(8), 0
    keys, values = ctypes.create_string_buffer(count * key), ctypes.create_string_buffer(count * value)
    more = True
    while more:
        addresses = [ctypes.addressof(buffer) for buffer in (place, keys, values)]
        attr = struct.pack("=QQQQIIQQ", at, *addresses, count, fd, 0, 0)
        buffer = ctypes.create_string_buffer(attr, len(attr))
        try:
            bpf(_MAP_LOOKUP_BATCH, buffer)
        except OSError as error:
            if error.errno in _NO_BATCHES and not at:
                yield from _one_by_one(fd, key, value)
                return
            if error.errno != errno.ENOENT:
                raise
            more = False
        (found,) = struct.unpack_from("=I", buffer, 32)
        at = addresses[0]
        yield found, keys.raw[: found * key], values.raw[: found * value]


def _one_by_one(fd: int, key: int, value: int) -> Iterator[tuple[int, bytes, bytes]]:
    """The same, on a kernel that hands out one element at a time."""
    at: bytes | None = None
    following = ctypes.create_string_buffer(key)
    with suppress(FileNotFoundError):
        while True:
            before = ctypes.create_string_buffer(at, key) if at is not None else None
            address = ctypes.addressof(before) if before is not None else 0
            bpf(_MAP_NEXT_KEY, struct.pack("=IIQQQ", fd, 0, address, ctypes.addressof(following), 0))
            at = following.raw
            yield 1, at, map_lookup(fd, at, value)


@dataclass(frozen=True, slots=True)
class PerfAttr:
    """The part of `struct perf_event_attr` that attaching needs; `flags` are its bit fields as one word."""

    type: int
    config: int = 0
    period: int = 0
    """Or the frequency, with the `freq` bit of `flags`."""
    flags: int = 0
    config1: int = 0
    config2: int = 0
    sample_type: int = 0

    def pack(self) -> bytes:
        """The bytes that the system call takes."""
        flags = self.flags | _DISABLED
        head = struct.pack("=IIQQQQQ", self.type, _ATTR_SIZE, self.config, self.period, self.sample_type, 0, flags)
        return (head + struct.pack("=IIQQ", 0, 0, self.config1, self.config2)).ljust(_ATTR_SIZE, b"\0")


def open_event(attr: PerfAttr, *, pid: int = EVERY_PROCESS, cpu: int = 0) -> int:
    """A perf event, not yet enabled, of one process (on any CPU with -1) or of all on one CPU; raises OSError."""
    buffer = ctypes.create_string_buffer(attr.pack(), _ATTR_SIZE)
    no_group, flags = ctypes.c_int(-1), ctypes.c_ulong(_PERF_FLAG_FD_CLOEXEC)
    return _syscall(_PERF_EVENT_OPEN, buffer, ctypes.c_int(pid), ctypes.c_int(cpu), no_group, flags)


def set_program(event: int, program: int) -> None:
    """Hang the program on the perf event, which runs it from when it is enabled until it is closed. Raises OSError."""
    fcntl.ioctl(event, _IOC_SET_BPF, program)


def enable_event(event: int) -> None:
    """Let the perf event happen. Raises OSError."""
    fcntl.ioctl(event, _IOC_ENABLE, 0)


def open_raw_tracepoint(name: str, program: int) -> int:
    """Hang the program on the raw tracepoint; it runs from here on until the descriptor is closed. Raises OSError."""
    text = ctypes.create_string_buffer(name.encode("ascii"))
    return bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QII", ctypes.addressof(text), program, 0))


def recursion_misses(program: int) -> int:
    """How often the kernel skipped the program because another one was running on that CPU; 0 where it does not say."""
    with open(f"/proc/self/fdinfo/{program}", encoding="ascii", errors="replace") as info:
        for line in info:
            if line.startswith("recursion_misses:"):
                return int(line.split()[1])
    return 0


def enable_run_stats() -> int:
    """A descriptor that keeps the kernel counting the runs of all programs, and their time. Raises OSError."""
    return bpf(_ENABLE_STATS, struct.pack("=I", _STATS_RUN_TIME))


def possible_cpus(host: Host) -> int:
    """How many values an element of a per-CPU map has: one for each possible CPU."""
    return len(_cpus(host, "possible"))


def online_cpus(host: Host) -> list[int]:
    """The numbers of the CPUs that run now, ascending."""
    return _cpus(host, "online")


def _cpus(host: Host, which: str) -> list[int]:
    """`0-3,8` as numbers."""
    text = host.read(f"/sys/devices/system/cpu/{which}").decode("ascii", "replace")
    ranges = [part.strip().partition("-") for part in text.split(",")]
    return [cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)]

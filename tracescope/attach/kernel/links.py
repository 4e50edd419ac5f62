"""Hang a loaded program on raw tracepoints, on functions through BTF, and on many functions at once: BPF links.

Source: include/uapi/linux/bpf.h (BPF_RAW_TRACEPOINT_OPEN, BPF_LINK_CREATE). Every function returns the file descriptor
that undoes the attachment when it is closed, and raises AttachError.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from array import array
from collections.abc import Sequence
from functools import cache

from tracescope.attach.kernel import bpf, programs, reasons
from tracescope.attach.kernel.bpf import EVERY_PROCESS
from tracescope.attach.kernel.programs import ProgramType

__all__ = (
    "attach_kprobe_multi",
    "attach_raw_tracepoint",
    "attach_tracing",
    "attach_uprobe_multi",
    "has_kprobe_multi",
    "has_uprobe_multi",
)

_RAW_TRACEPOINT_OPEN, _LINK_CREATE = 17, 28
_KPROBE_MULTI, _UPROBE_MULTI = 42, 48
_RETURNS = 1
# An address that is never mapped.
_NOWHERE = 1
# return 0
_NOTHING = bytes.fromhex("b7000000000000009500000000000000")


def attach_raw_tracepoint(name: str, program: int) -> int:
    """Run the program at a raw tracepoint, by its name (`sched_switch`)."""
    try:
        return bpf.open_raw_tracepoint(name, program)
    except OSError as error:
        raise reasons.refused(f"rawtracepoint:{name}", error, reasons.RAW_TRACEPOINT) from error


def attach_tracing(probe: str, program: int) -> int:
    """Run the program where it was loaded for: a function's entry or return, a typed raw tracepoint; named `probe`."""
    try:
        return bpf.bpf(_RAW_TRACEPOINT_OPEN, struct.pack("=QII", 0, program, 0))
    except OSError as error:
        raise reasons.refused(probe, error, reasons.TRACING) from error


def attach_kprobe_multi(
    program: int, functions: Sequence[str] | Sequence[int], *, returns: bool = False, cookies: Sequence[int] = ()
) -> int:
    """Run the program at many kernel functions, or when they return: all by name, or all by address, none twice.

    One cookie each, or none. All or nothing: one function that cannot be traced refuses the rest. A program of type
    KPROBE_MULTI.
    """
    names = [
        ctypes.create_string_buffer(name.encode("ascii", "replace")) for name in functions if isinstance(name, str)
    ]
    places = array("Q", map(ctypes.addressof, names) if names else (int(address) for address in functions))
    symbols, addresses = (_address(places), 0) if names else (0, _address(places))
    try:
        kept = _cookies(cookies, len(places))
        body = struct.pack("=IIQQQ", _flags(returns), len(places), symbols, addresses, _address(kept))
        return _create(program, _KPROBE_MULTI, body)
    except OSError as error:
        word = "kretprobe" if returns else "kprobe"
        raise reasons.refused(_many(word, functions), error, reasons.MULTI_KPROBE) from error


def attach_uprobe_multi(
    program: int, path: str, offsets: Sequence[int], *, returns: bool = False, ref_ctr_offsets: Sequence[int] = (),
    cookies: Sequence[int] = (), pid: int = EVERY_PROCESS,
) -> int:  # fmt: skip
    """Run the program at many places of one file, given by their offsets in bytes, or when the functions there return.

    One cookie and one semaphore's offset (0 for none) each, or none at all. All or nothing. A program of type
    UPROBE_MULTI.
    """
    name = ctypes.create_string_buffer(path.encode("utf-8", "surrogateescape"))
    places = array("Q", offsets)
    try:
        kept, counters = _cookies(cookies, len(places)), _cookies(ref_ctr_offsets, len(places))
        addresses = (ctypes.addressof(name), _address(places), _address(counters), _address(kept))
        process = 0 if pid == EVERY_PROCESS else pid
        body = struct.pack("=QQQQIIII", *addresses, len(places), _flags(returns), process, 0)
        return _create(program, _UPROBE_MULTI, body)
    except OSError as error:
        word = "uretprobe" if returns else "uprobe"
        raise reasons.refused(_many(f"{word}:{path}", [hex(at) for at in offsets]), error, reasons.UPROBE) from error


def _flags(returns: bool) -> int:
    return _RETURNS if returns else 0


def _cookies(numbers: Sequence[int], count: int) -> array[int]:
    if numbers and len(numbers) != count:
        raise ValueError(f"{len(numbers)} numbers for {count} places")
    return array("Q", numbers)


def _address(numbers: array[int]) -> int:
    """Where the numbers lie in memory; 0, which the kernel takes for none, for no numbers."""
    return numbers.buffer_info()[0] if numbers else 0


def _many(word: str, names: Sequence[object]) -> str:
    shown = ", ".join(map(str, names[:3]))
    return f"{word}:{shown}" if len(names) <= 3 else f"{word}:{shown} and {len(names) - 3:,} more"


def _create(program: int, attach: int, body: bytes) -> int:
    return bpf.bpf(_LINK_CREATE, struct.pack("=IIII", program, 0, attach, 0) + body)


@cache
def has_kprobe_multi() -> bool:
    """True when this kernel attaches one program to many functions at once."""
    return _knows(programs.KPROBE_MULTI, struct.pack("=IIQQQ", 0, 1, 0, _NOWHERE, 0))


@cache
def has_uprobe_multi() -> bool:
    """True when this kernel attaches one program to many places of a file, and to all threads of one process there."""
    bodies = [struct.pack("=QQQQIIII", _NOWHERE, _NOWHERE, 0, 0, 1, 0, pid, 0) for pid in (0, 0xFFFFFFFF)]
    everyone, nobody = (_knows(programs.UPROBE_MULTI, body) for body in bodies)
    # The first kernels took the process for a thread; they read the path before they look at the number.
    return everyone and not nobody


def _knows(kind: ProgramType, body: bytes) -> bool:
    """Whether the kernel goes so far as to read what the body points at, which is nowhere."""
    program, _ = programs.load_program(kind, _NOTHING, "ts_try")
    if program < 0:
        return False
    try:
        os.close(_create(program, kind.attach, body))
    except OSError as error:
        return error.errno == errno.EFAULT
    finally:
        os.close(program)
    return False

"""Load BPF programs of every type that attaching needs, with the verifier's log for those that are refused.

Source: include/uapi/linux/bpf.h (`enum bpf_prog_type`, `enum bpf_attach_type`). What a program's context holds, by
type: a tracepoint's record, the arguments of a raw tracepoint or function as 64-bit words, or the registers.
"""

from __future__ import annotations

import ctypes
import difflib
import errno
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tracescope.attach.kernel import bpf, verifier
from tracescope.errors import AttachError
from tracescope.sources.btf import Btf
from tracescope.sources.btf_types import Kind

__all__ = (
    "KPROBE",
    "KPROBE_MULTI",
    "PERF_EVENT",
    "RAW_TRACEPOINT",
    "TRACEPOINT",
    "UPROBE_MULTI",
    "ProgramType",
    "fentry",
    "fexit",
    "load_program",
    "module_btf",
    "refusal",
    "typed_raw_tracepoint",
)

_PROG_LOAD, _OBJECT_INFO, _BTF_FD_BY_ID, _BTF_NEXT_ID = 5, 15, 19, 23
_TRACING = 26
_RAW_TP, _FENTRY, _FEXIT = 23, 24, 25
_SLEEPABLE = 1 << 4
_LOG_SIZE = 4 << 20
_INSTRUCTION = 8
_MODULE_NAME = 64


@dataclass(frozen=True, slots=True)
class ProgramType:
    """What a program is loaded as."""

    number: int
    """`enum bpf_prog_type`."""
    attach: int = 0
    """`enum bpf_attach_type`, for the types that the kernel tells apart by it when it loads them."""
    btf_id: int = 0
    """The function or raw tracepoint that the program is checked against, as an id of the BTF of `module`."""
    module: str = ""
    """A module's name; empty for the kernel itself."""
    sleepable: bool = False
    """It may wait for a page of user memory; for fentry, fexit and uprobes."""


TRACEPOINT = ProgramType(5)
"""Context: the tracepoint's record, as its format tells."""
RAW_TRACEPOINT = ProgramType(17)
"""Context: the tracepoint's own arguments, a word each, as plain numbers."""
KPROBE = ProgramType(2)
"""For kprobes, kretprobes, uprobes, uretprobes and USDT. Context: the registers."""
KPROBE_MULTI = ProgramType(2, attach=42)
"""For many kprobes or kretprobes in one link. Context: the registers."""
UPROBE_MULTI = ProgramType(2, attach=48)
"""For many uprobes, uretprobes or USDT sites in one link. Context: the registers."""
PERF_EVENT = ProgramType(7)
"""For samples and intervals. Context: the registers, then the sample's period and address."""


def fentry(types: Btf, function: str, module: str = "") -> ProgramType:
    """A program on a function's entry, from the BTF of its module. Context: the arguments, a word each.

    Raises AttachError for a function that the BTF does not have.
    """
    return _on_function(types, function, module, _FENTRY)


def fexit(types: Btf, function: str, module: str = "") -> ProgramType:
    """A program on a function's return. Context: the arguments, a word each, then the return value; errors as above."""
    return _on_function(types, function, module, _FEXIT)


def typed_raw_tracepoint(types: Btf, name: str, module: str = "") -> ProgramType:
    """A program on a raw tracepoint that the verifier checks against the BTF; errors as above.

    Context: the arguments, a word each; pointers may be followed without a helper.
    """
    type_id = types.names(Kind.TYPEDEF).get(f"btf_trace_{name}")
    if type_id is None:
        near = (found.removeprefix("btf_trace_") for found in types.names(Kind.TYPEDEF) if found[:10] == "btf_trace_")
        raise _unknown(f"rawtracepoint:{name}", module, name, near)
    return ProgramType(_TRACING, _RAW_TP, type_id, module)


def _on_function(types: Btf, function: str, module: str, attach: int) -> ProgramType:
    type_id = types.names(Kind.FUNC).get(function)
    if type_id is None:
        word = "fentry" if attach == _FENTRY else "fexit"
        raise _unknown(f"{word}:{module or 'vmlinux'}:{function}", module, function, types.functions())
    return ProgramType(_TRACING, attach, type_id, module)


def _unknown(probe: str, module: str, name: str, known: Iterable[str]) -> AttachError:
    close = difflib.get_close_matches(name, list(known), n=3)
    fix = f"near it: {', '.join(close)}" if close else ""
    return AttachError(f"{probe} cannot be attached", f"the BTF of {module or 'the kernel'} does not have it", fix)


def load_program(kind: ProgramType, code: bytes, name: str) -> tuple[int, str]:
    """A loaded program and "", or -errno and the verifier's log. Raises AttachError when the module has no BTF now."""
    with module_btf(kind.module) as types:
        try:
            return _load(kind, types, code, name, None), ""
        except OSError as error:
            refused = error.errno or errno.EINVAL
        # Only a refused program is worth the log: writing it makes the verifier several times slower.
        log = ctypes.create_string_buffer(_LOG_SIZE)
        try:
            return _load(kind, types, code, name, log), ""
        except OSError:
            return -refused, log.value.decode("utf-8", "replace")


def _load(kind: ProgramType, types: int, code: bytes, name: str, log: ctypes.Array[ctypes.c_char] | None) -> int:
    buffer = ctypes.create_string_buffer(code, len(code))
    # The helpers that read memory are for programs with a GPL-compatible licence.
    licence = ctypes.create_string_buffer(b"GPL")
    level, size, address = (1, _LOG_SIZE, ctypes.addressof(log)) if log is not None else (0, 0, 0)
    flags = _SLEEPABLE if kind.sleepable else 0
    attr = struct.pack(
        "=IIQQIIQII16s",
        *(kind.number, len(code) // _INSTRUCTION, ctypes.addressof(buffer), ctypes.addressof(licence)),
        *(level, size, address, 0, flags, bpf.object_name(name)),
    )
    if kind.attach:
        # ifindex, attach type, seven fields of debug information, the target
        attr += struct.pack("=IIIIQIIQIII", 0, kind.attach, 0, 0, 0, 0, 0, 0, 0, kind.btf_id, types)
    return bpf.bpf(_PROG_LOAD, attr)


@contextmanager
def module_btf(module: str) -> Iterator[int]:
    """A file descriptor of a loaded module's BTF; 0, which stands for the kernel's, for no name. Raises AttachError."""
    if not module:
        yield 0
        return
    fd = _find_module(module.encode("utf-8", "surrogateescape"))
    try:
        yield fd
    finally:
        os.close(fd)


def _find_module(name: bytes) -> int:
    """BTF objects have no names to open them by: ask each."""
    at = 0
    try:
        while True:
            attr = ctypes.create_string_buffer(struct.pack("=III", at, 0, 0), 12)
            bpf.bpf(_BTF_NEXT_ID, attr)
            _, at, _ = struct.unpack("=III", attr.raw)
            try:
                fd = bpf.bpf(_BTF_FD_BY_ID, struct.pack("=III", at, 0, 0))
            except FileNotFoundError:  # gone since
                continue
            if _kernel_name(fd) == name:
                return fd
            os.close(fd)
    except FileNotFoundError:
        why, fix = "no loaded module of this name has BTF", "load the module, or take a kprobe"
        raise AttachError(f"the module {name.decode('utf-8', 'replace')} cannot be traced", why, fix) from None
    except OSError as error:
        why = error.strerror or str(error)
        raise AttachError("the kernel's BTF objects cannot be listed", why, "run as root") from None


def _kernel_name(fd: int) -> bytes:
    """The name of the kernel's own BTF object, or of a module's; empty for a program's."""
    name = ctypes.create_string_buffer(_MODULE_NAME)
    size = struct.calcsize("=QIIQII")
    info = ctypes.create_string_buffer(struct.pack("=QIIQII", 0, 0, 0, ctypes.addressof(name), len(name), 0), size)
    bpf.bpf(_OBJECT_INFO, struct.pack("=IIQ", fd, size, ctypes.addressof(info)))
    *_, from_kernel = struct.unpack("=QIIQII", info.raw)
    return name.value if from_kernel else b""


def refusal(name: str, kind: ProgramType, code: int, log: str, sources: Mapping[int, str] | None = None) -> AttachError:
    """Why the kernel did not load a program: `code` is the errno, `log` what the verifier wrote.

    `sources` are lines of source by the number of the instruction where each begins.
    """
    if not log and code == errno.EPERM and kind.number == _TRACING:
        why = "the kernel lets nobody change its functions' code here: it is locked down, or this process is not root"
        return AttachError(f"the kernel did not load the program `{name}`", why, "take a tracepoint or a kprobe")
    return verifier.refusal(name, code, log, lockdown=_lockdown(), sources=sources)


def _lockdown() -> str:
    """The kernel's lockdown mode; empty where it does not say."""
    with suppress(OSError), open("/sys/kernel/security/lockdown", encoding="ascii", errors="replace") as file:
        return file.read().partition("[")[2].partition("]")[0]
    return ""

"""libbpf's shared library by ctypes: an object is opened, its maps are made, its programs' instructions are linked.

libbpf links (map references, global data, CO-RE relocations against the kernel's BTF) and makes the maps. The programs
themselves are loaded by `kernel.loading`: side by side, and one that the kernel refuses does not stop the others. So
libbpf is given, in place of each program, one that returns 0. Source: libbpf.h of version 1.0 and later.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from ctypes import POINTER, c_char_p, c_int, c_long, c_size_t, c_uint32, c_void_p
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from tracescope.attach.libbpf.translate import PREFIX, SECTION
from tracescope.errors import AttachError, Refused

__all__ = ("INSTALL", "LIBRARY", "Library", "Linked", "library", "link", "missing_library")

LIBRARY = "libbpf.so.1"
INSTALL = "apt-get install libbpf1, or the distribution's package that has libbpf.so.1"

_SOCKET_FILTER = 1
_INSTRUCTION = 8
# return 0
_NOTHING = bytes.fromhex("b7000000000000009500000000000000")
_EVERYTHING_STRICT = 0xFFFFFFFF


class _LoadOptions(ctypes.Structure):
    """`struct bpf_prog_load_opts`, up to what is changed."""

    _fields_ = (
        ("sz", c_size_t), ("attempts", c_int), ("expected_attach_type", c_int), ("prog_btf_fd", c_uint32),
        ("prog_flags", c_uint32), ("prog_ifindex", c_uint32), ("kern_version", c_uint32), ("attach_btf_id", c_uint32),
        ("attach_prog_fd", c_uint32), ("attach_btf_obj_fd", c_uint32), ("fd_array", c_void_p),
        ("func_info", c_void_p), ("func_info_cnt", c_uint32), ("func_info_rec_size", c_uint32),
        ("line_info", c_void_p), ("line_info_cnt", c_uint32), ("line_info_rec_size", c_uint32),
    )  # fmt: skip


_Prepare = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(_LoadOptions), c_long)
_Print = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


class _HandlerOptions(ctypes.Structure):
    """`struct libbpf_prog_handler_opts`."""

    _fields_ = (
        ("sz", c_size_t), ("cookie", c_long), ("setup", c_void_p), ("prepare_load", _Prepare), ("attach", c_void_p),
    )  # fmt: skip


class _OpenOptions(ctypes.Structure):
    """`struct bpf_object_open_opts`, up to the name."""

    _fields_ = (("sz", c_size_t), ("object_name", c_char_p))


_FUNCTIONS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "bpf_object__open_mem": (c_void_p, (c_void_p, c_size_t, POINTER(_OpenOptions))),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__close": (None, (c_void_p,)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__next_program": (c_void_p, (c_void_p, c_void_p)),
    "bpf_object__btf": (c_void_p, (c_void_p,)),
    "btf__load_vmlinux_btf": (c_void_p, ()),
    "btf__free": (None, (c_void_p,)),
    "btf__find_by_name_kind": (ctypes.c_int32, (c_void_p, c_char_p, c_uint32)),
    "btf__type_by_id": (c_void_p, (c_void_p, c_uint32)),
    "btf__name_by_offset": (c_char_p, (c_void_p, c_uint32)),
    "bpf_map__name": (c_char_p, (c_void_p,)),
    "bpf_map__fd": (c_int, (c_void_p,)),
    "bpf_map__set_initial_value": (c_int, (c_void_p, c_void_p, c_size_t)),
    "bpf_program__name": (c_char_p, (c_void_p,)),
    "bpf_program__set_autoload": (c_int, (c_void_p, ctypes.c_bool)),
    "bpf_program__insns": (c_void_p, (c_void_p,)),
    "bpf_program__insn_cnt": (c_size_t, (c_void_p,)),
    "bpf_program__set_insns": (c_int, (c_void_p, c_void_p, c_size_t)),
    "libbpf_register_prog_handler": (c_int, (c_char_p, c_int, c_int, POINTER(_HandlerOptions))),
    "libbpf_set_print": (c_void_p, (_Print,)),
}


@dataclass
class Linked:
    """An open object: its maps are made, the instructions of its programs hold their descriptors; by name."""

    programs: dict[str, bytes] = field(default_factory=dict)
    lines: dict[str, dict[int, str]] = field(default_factory=dict)
    """By program: lines of source by the number of the instruction where each begins."""
    maps: dict[str, int] = field(default_factory=dict)
    """The object's own descriptors."""

    def kept_maps(self) -> dict[str, int]:
        """Descriptors of the same maps, for the caller to close."""
        return {name: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for name, fd in self.maps.items()}


def missing_library() -> Refused | None:
    """Why libbpf cannot be used here, or None when it can."""
    try:
        library()
    except Refused as refused:
        return refused
    return None


@contextmanager
def link(
    data: bytes, name: str, *, constants: Mapping[str, bytes] | None = None, only: Collection[str] | None = None
) -> Iterator[Linked]:
    """Make the maps of an object file and link its programs, or `only` some; load these before the block ends.

    `constants` are the bytes of its sections of read-only data, by their name (`.rodata`). Raises AttachError with what
    libbpf said in `log`, Refused without libbpf.
    """
    opened = _Object(library(), data, name)
    try:
        with _LOCK:
            opened.link(constants or {}, only)
        yield opened.linked
    finally:
        opened.close()


_LOCK = threading.Lock()
"""libbpf's handlers are the process's: one object at a time."""
_current: list[_Object] = []
_said: list[str] = []


class Library:
    """The functions, typed; what libbpf prints is kept."""

    def __init__(self, lib: ctypes.CDLL) -> None:
        for name, (result, arguments) in _FUNCTIONS.items():
            function = getattr(lib, name)
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        if hasattr(lib, "libbpf_set_strict_mode"):
            lib.libbpf_set_strict_mode(c_uint32(_EVERYTHING_STRICT))
        self._keep = (_Prepare(_prepare), _Print(_print))
        prepare, print_ = self._keep
        self.libbpf_set_print(print_)
        options = _HandlerOptions(ctypes.sizeof(_HandlerOptions), 0, None, prepare, None)
        if self.libbpf_register_prog_handler(SECTION.encode(), _SOCKET_FILTER, 0, ctypes.byref(options)) < 0:
            raise AttributeError("libbpf_register_prog_handler")

    def __getattr__(self, name: str) -> Callable[..., Any]:
        raise AttributeError(name)


@cache
def library() -> Library:
    """The library, loaded once; raises Refused where there is none that can be used."""
    try:
        lib = ctypes.CDLL(LIBRARY, use_errno=True)
    except OSError:
        raise Refused("libbpf cannot be used", f"{LIBRARY} is not installed", INSTALL) from None
    try:
        return Library(lib)
    except AttributeError as error:
        raise Refused("libbpf cannot be used", f"this {LIBRARY} has no working {error.args[0]}", INSTALL) from None


def _print(level: int, text: bytes, arguments: int) -> int:
    """Keep a warning. The `va_list` is passed on as the pointer that it is, or that stands for it."""
    if level == 0:
        buffer = ctypes.create_string_buffer(4096)
        ctypes.CDLL(None).vsnprintf(buffer, c_size_t(len(buffer)), c_char_p(text), c_void_p(arguments))
        _said.append(buffer.value.decode("utf-8", "replace"))
    return 0


def _prepare(program: int, options: Any, _cookie: int) -> int:
    """Called by libbpf for each program that is linked."""
    try:
        return _current[-1].take(program, options.contents)
    except Exception:  # noqa: BLE001 - nothing may be raised into C
        return -errno.EINVAL


class _Object:
    def __init__(self, lib: Library, data: bytes, name: str) -> None:
        self._lib = lib
        self._data = data
        self._name = name.encode("ascii")
        self.linked = Linked()
        self._object: int | None = None

    def link(self, constants: Mapping[str, bytes], only: Collection[str] | None) -> None:
        _said.clear()
        _current.append(self)
        try:
            self._open()
            self._choose(constants, only)
            self._check(self._lib.bpf_object__load(self._object), "linked")
        finally:
            _current.pop()
        for place in self._each(self._lib.bpf_object__next_map):
            name = self._lib.bpf_map__name(place).decode("utf-8", "replace")
            if name.startswith(PREFIX):
                self.linked.maps[name.removeprefix(PREFIX)] = self._lib.bpf_map__fd(place)

    def close(self) -> None:
        if self._object:
            self._lib.bpf_object__close(self._object)
            self._object = None

    def _open(self) -> None:
        options = _OpenOptions(ctypes.sizeof(_OpenOptions), self._name)
        self._object = self._lib.bpf_object__open_mem(self._data, len(self._data), ctypes.byref(options))
        if not self._object:
            self._check(-(ctypes.get_errno() or errno.EINVAL), "opened")

    def _choose(self, constants: Mapping[str, bytes], only: Collection[str] | None) -> None:
        for place in self._each(self._lib.bpf_object__next_map):
            name = self._lib.bpf_map__name(place).decode("utf-8", "replace")
            data = next((data for section, data in constants.items() if name.endswith(section)), None)
            if data is not None:
                self._check(self._lib.bpf_map__set_initial_value(place, data, len(data)), "given its numbers")
        if only is not None:
            for place in self._each(self._lib.bpf_object__next_program):
                self._lib.bpf_program__set_autoload(place, self._program_name(place) in only)

    def _each(self, following: Callable[[int | None, int | None], int | None]) -> list[int]:
        found: list[int] = []
        while place := following(self._object, found[-1] if found else None):
            found.append(place)
        return found

    def _program_name(self, program: int) -> str:
        return str(self._lib.bpf_program__name(program).decode("ascii").removeprefix(PREFIX))

    def _check(self, result: int, verb: str) -> None:
        if result >= 0:
            return
        log = "".join(_said)
        lines = [line.removeprefix("libbpf: ") for line in log.splitlines() if line.strip()]
        if -result == errno.EPERM:
            why = "the kernel does not let this process use BPF"
            raise Refused(f"the program could not be {verb}", why, "run as root")
        raise AttachError(f"the program could not be {verb}", lines[0] if lines else os.strerror(-result), log=log)

    def take(self, program: int, options: _LoadOptions) -> int:
        """Keep the instructions and the lines; let libbpf load nothing in their place."""
        name, lib = self._program_name(program), self._lib
        size = lib.bpf_program__insn_cnt(program) * _INSTRUCTION
        self.linked.programs[name] = ctypes.string_at(lib.bpf_program__insns(program), size)
        with suppress(ValueError):
            self.linked.lines[name] = self._lines(options)
        options.prog_btf_fd = options.func_info_cnt = options.line_info_cnt = 0
        return int(lib.bpf_program__set_insns(program, _NOTHING, len(_NOTHING) // _INSTRUCTION))

    def _lines(self, options: _LoadOptions) -> dict[int, str]:
        """`struct bpf_line_info`: instruction, file, text, number."""
        if not options.line_info:
            return {}
        types, size = self._lib.bpf_object__btf(self._object), options.line_info_rec_size
        data = memoryview(ctypes.string_at(options.line_info, options.line_info_cnt * size)).cast("I")
        found = {}
        for at in range(0, len(data), size // 4):
            text = self._lib.btf__name_by_offset(types, data[at + 2]) or b""
            if text.strip():
                found[data[at]] = text.decode("utf-8", "replace").strip()
        return found

"""From C text to programs and maps in the kernel: BCC compiles in a child process, this process loads.

What is compiled does not depend on this boot: map references are names until they are loaded.
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.resources import as_file, files
from typing import Protocol, Self

from tracescope import __version__
from tracescope.attach import bcc, kernel, programs
from tracescope.attach.programs import ProgramType
from tracescope.catalog import cache
from tracescope.errors import AttachError, Refused

__all__ = ("Backend", "BccBackend", "Compiled", "Loaded", "MapSpec", "load", "with_maps")

_LOAD_64 = 0x18
_MAP_FD = 1
_TIMEOUT = 60.0
# Later versions of the kernel's helpers are declared with anonymous tagged members.
_CFLAGS = (
    "-fms-extensions",
    "-Wno-microsoft-anon-tag",
    "-Wno-unused-function",
    f"-DPAGE_SIZE={mmap.PAGESIZE}",
    # Where BCC meets these helpers by their names it reads all of /proc/kallsyms, to learn whether the kernel has them:
    # half of the time. Every kernel with a ring buffer has them.
    "-Dbpf_probe_read_user=read_user",
    "-Dbpf_probe_read_user_str=read_user_str",
)
_INSTALL = "apt-get install python3-bpfcc"
_BY_NAME: Mapping[str, ProgramType] = {}


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map to create: the kernel's kind, sizes in bytes, and the number that stands for it in the code."""

    kind: int
    key: int
    value: int
    entries: int
    flags: int
    fd: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """Instructions by function name, maps by name."""

    programs: dict[str, bytes]
    maps: dict[str, MapSpec]


class Loaded:
    """Programs and maps in the kernel, as file descriptors by name; closing it takes them down."""

    def __init__(self) -> None:
        self.programs: dict[str, int] = {}
        self.maps: dict[str, int] = {}
        self.refused: dict[str, AttachError] = {}
        """Programs that the verifier did not accept."""

    def close(self) -> None:
        """Let go of everything."""
        for fd in (*self.programs.values(), *self.maps.values()):
            os.close(fd)
        self.programs.clear()
        self.maps.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Backend(Protocol):
    """What turns C text into programs in the kernel."""

    def load(self, text: str, kinds: Mapping[str, ProgramType] = _BY_NAME) -> Loaded:
        """Compile and load; raises AttachError or Refused. Programs refused one by one are in `refused`."""
        ...


class BccBackend:
    """BCC of the distribution, without kernel headers: our own header tree stands in for them."""

    def load(self, text: str, kinds: Mapping[str, ProgramType] = _BY_NAME) -> Loaded:
        """Compile, unless this text was compiled before, and load."""
        return load(self.compile(text), kinds)

    def compile(self, text: str) -> Compiled:
        """Instructions and maps, kept for the next time; errors as from `_compile`."""
        key = repr((__version__, platform.machine(), _compiler(), _CFLAGS, text))
        kept = cache.load(key, "program")
        if isinstance(kept, str):
            return _answer(kept)
        answer = self._compile(text)
        cache.save(key, answer, "program")
        return _answer(answer)

    def _compile(self, text: str) -> str:
        """BCC's answer; raises AttachError with the compiler's output in `log`, Refused without BCC."""
        request = json.dumps({"text": text, "cflags": _CFLAGS})
        with ExitStack() as stack:
            shim = stack.enter_context(as_file(files("tracescope.attach") / "shim"))
            script = stack.enter_context(as_file(files("tracescope.attach") / "bcc.py"))
            environment = {**os.environ, "BCC_KERNEL_SOURCE": str(shim)}
            # The machine's own words for the target: BCC takes ARCH for the kernel's.
            environment.pop("ARCH", None)
            command = [sys.executable, "-I", "-S", str(script)]
            try:
                done = subprocess.run(
                    command, input=request, capture_output=True, text=True, errors="replace",
                    timeout=_TIMEOUT, check=False, env=environment,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise AttachError("the program could not be compiled", f"no answer in {_TIMEOUT:g} s") from None
        if done.returncode == bcc.MISSING:
            raise Refused("nothing here can compile BPF", "BCC for Python is not installed", _INSTALL)
        if done.returncode != 0:
            raise AttachError("the program could not be compiled", _first_error(done.stderr), log=done.stderr)
        # BCC writes its warnings to standard output too: the answer is the last line.
        return done.stdout.splitlines()[-1]


def _compiler() -> list[tuple[int, int, int]]:
    """What tells one compiler and header tree from another: another may make other instructions of the same text."""
    found = bcc.find_bcc()
    places = [place for place in (found and found.origin, files("tracescope.attach") / "shim", bcc.__file__) if place]
    status = [os.stat(str(place)) for place in places if os.path.exists(str(place))]
    return [(place.st_ino, place.st_size, place.st_mtime_ns) for place in status]


def _first_error(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines[-1:] or ["BCC gave no reason"])[0].strip()


def _answer(text: str) -> Compiled:
    answer = json.loads(text)
    return Compiled(
        {name: bytes.fromhex(code) for name, code in answer["programs"].items()},
        {name: MapSpec(**spec) for name, spec in answer["maps"].items()},
    )


def load(compiled: Compiled, kinds: Mapping[str, ProgramType] = _BY_NAME) -> Loaded:
    """Create the maps and load every program, each as what `kinds` says of its function; see `_kind` for the others.

    A program that the kernel refuses does not stop the others.
    """
    loaded = Loaded()
    try:
        for name, spec in compiled.maps.items():
            loaded.maps[name] = _create(name, spec)
        numbers = {spec.fd: loaded.maps[name] for name, spec in compiled.maps.items()}
        for name, code in compiled.programs.items():
            kind = kinds.get(name) or _kind(name)
            try:
                fd, log = programs.load_program(kind, with_maps(code, numbers), f"ts_{name}")
            except AttachError as error:
                loaded.refused[name] = error
                continue
            if fd < 0:
                loaded.refused[name] = programs.refusal(name, kind, -fd, log)
            else:
                loaded.programs[name] = fd
    except BaseException:
        loaded.close()
        raise
    return loaded


def _kind(function: str) -> ProgramType:
    """What a program hangs on, by its function's name."""
    return programs.RAW_TRACEPOINT if function.startswith("raw_") else programs.TRACEPOINT


def _create(name: str, spec: MapSpec) -> int:
    try:
        return kernel.map_create(spec.kind, spec.key, spec.value, spec.entries, spec.flags, f"ts_{name}")
    except PermissionError:
        raise Refused("the kernel does not let this process use BPF", "bpf() answered EPERM", "run as root") from None
    except OSError as error:
        raise AttachError(f"the map `{name}` could not be made", error.strerror or str(error)) from None


def with_maps(code: bytes, numbers: Mapping[int, int]) -> bytes:
    """The instructions with each map's number replaced by its file descriptor."""
    patched = bytearray(code)
    for at in range(0, len(code), 8):
        if code[at] == _LOAD_64 and code[at + 1] >> 4 == _MAP_FD:
            (number,) = struct.unpack_from("=i", code, at + 4)
            struct.pack_into("=i", patched, at + 4, numbers[number])
    return bytes(patched)

"""Programs and maps in the kernel: made of what the compiler gave, held by file descriptors, taken down with them."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self, TypeAlias

from tracescope.attach.kernel import bpf, programs
from tracescope.attach.kernel.programs import ProgramType
from tracescope.errors import AttachError, Refused

__all__ = ("BY_NAME", "STEP", "Compiled", "Loaded", "MapSpec", "Sources", "load", "load_linked", "with_maps")

Sources: TypeAlias = Mapping[str, Mapping[int, str]]
"""Lines of source by function, and by the number of the instruction where each begins."""

BY_NAME: Mapping[str, ProgramType] = {}
"""No function is told apart: their names say what they hang on."""

STEP = "to_"
"""A map of one program is named so and by the function that is in it: the next step of those that call it."""

_FIRST = struct.pack("=I", 0)
_VERIFIERS = min(8, os.cpu_count() or 1)
_LONG = 256 * 8
_LOAD_64 = 0x18
_MAP_FD = 1


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


def load(compiled: Compiled, kinds: Mapping[str, ProgramType] = BY_NAME, lines: Callable[[], Sources] = dict) -> Loaded:
    """Create the maps and load every program, each as what `kinds` says of its function; see `_kind` for the others.

    A program that the kernel refuses does not stop the others; `lines` is asked only then, for the lines of source by
    function and instruction.
    """
    maps: dict[str, int] = {}
    try:
        for name, spec in compiled.maps.items():
            maps[name] = _create(name, spec)
    except BaseException:
        for fd in maps.values():
            os.close(fd)
        raise
    numbers = {spec.fd: maps[name] for name, spec in compiled.maps.items()}
    linked = {name: with_maps(code, numbers) for name, code in compiled.programs.items()}
    return load_linked(maps, linked, kinds, lines)


def load_linked(
    maps: Mapping[str, int], programs_: Mapping[str, bytes], kinds: Mapping[str, ProgramType] = BY_NAME,
    lines: Callable[[], Sources] = dict,
) -> Loaded:  # fmt: skip
    """The same for instructions that hold the maps' descriptors; the maps are the result's from here on."""
    loaded = Loaded()
    loaded.maps.update(maps)
    try:
        _load_programs(
            loaded, {name: (kinds.get(name) or _kind(name), code) for name, code in programs_.items()}, lines
        )
        _join(loaded, programs_)
    except BaseException:
        loaded.close()
        raise
    return loaded


def _join(loaded: Loaded, linked: Mapping[str, bytes]) -> None:
    """Put the programs that others go on into where those look for them; without it, those are refused as it is."""
    for name, number in loaded.maps.items():
        step = name.removeprefix(STEP)
        if step == name:
            continue
        if step in loaded.programs:
            bpf.map_update(number, _FIRST, struct.pack("=I", loaded.programs[step]))
            continue
        for function in [one for one in loaded.programs if number in _map_numbers(linked[one])]:
            os.close(loaded.programs.pop(function))
            loaded.refused[function] = loaded.refused[step]


def _load_programs(
    loaded: Loaded, wanted: Mapping[str, tuple[ProgramType, bytes]], lines: Callable[[], Sources]
) -> None:
    sources: Sources = {}
    answers = _load_each(wanted)
    for name in wanted:
        answer = answers[name]
        if isinstance(answer, AttachError):
            loaded.refused[name] = answer
        elif answer[0] < 0:
            sources = sources or lines()
            loaded.refused[name] = programs.refusal(name, wanted[name][0], -answer[0], answer[1], sources.get(name))
        else:
            loaded.programs[name] = answer[0]


def _load_each(wanted: Mapping[str, tuple[ProgramType, bytes]]) -> dict[str, tuple[int, str] | AttachError]:
    """The verifier takes most of the time, on one CPU a program: where several are long, side by side."""
    longest = sorted(wanted, key=lambda name: -len(wanted[name][1]))
    if len(longest) < 2 or len(wanted[longest[1]][1]) < _LONG:
        return {name: _load_one(name, *wanted[name]) for name in wanted}
    answers: dict[str, tuple[int, str] | AttachError] = {}

    def verify() -> None:
        while longest:
            # Another thread may have taken the last one.
            with suppress(IndexError):
                name = longest.pop(0)
                answers[name] = _load_one(name, *wanted[name])

    threads = [threading.Thread(target=verify, name="tracescope-verifier") for _ in range(_VERIFIERS - 1)]
    for thread in threads:
        thread.start()
    verify()
    for thread in threads:
        thread.join()
    return {name: answers[name] for name in wanted}


def _load_one(name: str, kind: ProgramType, code: bytes) -> tuple[int, str] | AttachError:
    try:
        return programs.load_program(kind, code, f"ts_{name}")
    except AttachError as error:
        return error


def _kind(function: str) -> ProgramType:
    """What a program hangs on, by its function's name."""
    return programs.RAW_TRACEPOINT if function.startswith("raw_") else programs.TRACEPOINT


def _create(name: str, spec: MapSpec) -> int:
    try:
        return bpf.map_create(spec.kind, spec.key, spec.value, spec.entries, spec.flags, f"ts_{name}")
    except PermissionError:
        raise Refused("the kernel does not let this process use BPF", "bpf() answered EPERM", "run as root") from None
    except OSError as error:
        raise AttachError(f"the map `{name}` could not be made", error.strerror or str(error)) from None


def with_maps(code: bytes, numbers: Mapping[int, int]) -> bytes:
    """The instructions with each map's number replaced by its file descriptor."""
    patched = bytearray(code)
    for at, number in _map_loads(code):
        struct.pack_into("=i", patched, at, numbers[number])
    return bytes(patched)


def _map_numbers(code: bytes) -> set[int]:
    """The maps that the instructions use."""
    return {number for _, number in _map_loads(code)}


def _map_loads(code: bytes) -> Iterator[tuple[int, int]]:
    """Where a map's number is in the instructions, and which."""
    for at in range(0, len(code), 8):
        if code[at] == _LOAD_64 and code[at + 1] >> 4 == _MAP_FD:
            yield at + 4, struct.unpack_from("=i", code, at + 4)[0]

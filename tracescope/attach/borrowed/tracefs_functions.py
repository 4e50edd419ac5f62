"""Probes on functions as events of tracefs, in a group of our own: `tracescope_PID_START`; removed at the end.

Source: Documentation/trace/uprobetracer.rst, kprobetrace.rst. The definitions are the kernel's, not an instance's: they
are seen by all, and switched on in our own instance only. What a killed process left, the next start removes.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

from tracescope.attach.targets.target import FunctionPlace, Shape, Target, UserPlace
from tracescope.attach.tracefs.instance import Leftover, began
from tracescope.errors import AttachError, Refused, TraceScopeError
from tracescope.host import Host
from tracescope.model import Field, ProbeKind
from tracescope.printable import decode, printable

__all__ = ("define", "definition", "in_own_group", "is_dynamic", "left_events", "remove", "remove_left_events")

_KINDS = (ProbeKind.UPROBE, ProbeKind.URETPROBE, ProbeKind.KPROBE, ProbeKind.KRETPROBE)
_FILES = ("uprobe_events", "kprobe_events")
_OURS = re.compile(r"^[pr]\d*:(tracescope_([1-9]\d{0,9})_(\d{1,19})/\w+) ", re.MULTILINE | re.ASCII)
_PATH = re.compile(r"/[^\s:;#\"\\]*")
_FUNCTION = re.compile(r"[\w.$]+", re.ASCII)
_REGISTERS = {
    "x86_64": ("%di", "%si", "%dx", "%cx", "%r8", "%r9"),
    "aarch64": tuple(f"%x{number}" for number in range(8)),
}


def is_dynamic(target: Target) -> bool:
    """True for a probe that is an event of tracefs only when it was defined."""
    return target.kind in _KINDS


def in_own_group(host: Host, target: Target, name: str) -> Target:
    """The same target as an event with this name in the group of this process; both ends."""
    if not is_dynamic(target):
        return target
    group = f"tracescope_{os.getpid()}_{began(host, os.getpid())}"
    end = in_own_group(host, target.end, f"{name}_end") if target.end is not None else None
    return replace(target, format=replace(target.format, group=group, name=name), end=end)


def definition(target: Target, machine: str | None = None) -> str:
    """The line that defines the event of a target in `in_own_group`; raises Refused for what tracefs cannot say.

    Each field is fetched as a word of 8 bytes, in the order of the target's own words.
    """
    place = target.place
    if isinstance(place, UserPlace):
        if not _PATH.fullmatch(place.path):
            raise Refused(f"{printable(target.probe)} cannot be written for tracefs", "its path has other characters")
        where = f"{place.path}:{place.sites[0].offset:#x}"
    else:
        assert isinstance(place, FunctionPlace)
        if not all(_FUNCTION.fullmatch(name) for name in (place.name, place.module or "_")):
            raise Refused(f"{printable(target.probe)} cannot be written for tracefs", "its name has other characters")
        where = f"{place.module}:{place.name}" if place.module not in ("", "vmlinux") else place.name
        where += f"+{place.offset}" if place.offset else ""
    kind = "r" if target.shape is Shape.RESULT else "p"
    fields = [_fetched(target, field, machine or platform.machine()) for field in target.format.fields]
    return " ".join([f"{kind}:{target.format.group}/{target.format.name}", where, *fields])


def _fetched(target: Target, field: Field, machine: str) -> str:
    number = field.offset // 8 - 1
    if target.shape is Shape.RESULT:
        value = "$retval"
    elif machine not in _REGISTERS or number >= len(_REGISTERS[machine]):
        raise Refused(
            f"{printable(target.probe)} cannot be traced by tracefs", f"{field.name} is in no register", "--backend bcc"
        )
    else:
        value = _REGISTERS[machine][number]
    return f"{field.name}={value}:{'s' if field.signed and field.size == 8 else 'u'}64"


def define(host: Host, target: Target) -> None:
    """Define the event; raises AttachError with the kernel's reason."""
    _write(host, _file(target), definition(target), target.probe)


def remove(host: Host, target: Target) -> None:
    """Take the definition back; it must be switched off."""
    _write(host, _file(target), f"-:{target.format.group}/{target.format.name}", target.probe)


def _file(target: Target) -> str:
    return _FILES[target.kind in (ProbeKind.KPROBE, ProbeKind.KRETPROBE)]


def _write(host: Host, file: str, line: str, what: str) -> None:
    try:
        # Without O_APPEND the kernel would remove all definitions, those of others too.
        fd = os.open(f"{host.tracefs}/{file}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            os.write(fd, f"{line}\n".encode())
        finally:
            os.close(fd)
    except FileNotFoundError:
        why = f"this kernel has no {file}"
        raise AttachError(f"{printable(what)} cannot be attached by tracefs", why, "--backend bcc") from None
    except OSError as error:
        why = f"{file}: {os.strerror(error.errno or 0)}"
        raise AttachError(f"{printable(what)} cannot be attached by tracefs", why) from None


def _left(host: Host) -> Iterator[tuple[str, str, int]]:
    for file in _FILES if host.live else ():
        with suppress(TraceScopeError):
            for event, pid, start in _OURS.findall(decode(host.read(f"{host.tracefs}/{file}"))):
                if began(host, pid) != start:
                    yield file, event, int(pid)


def left_events(host: Host) -> list[Leftover]:
    """The events that dead processes of ours left; `path` is the folder."""
    return [Leftover(f"{host.tracefs}/events/{event}", pid) for _, event, pid in _left(host)]


def remove_left_events(host: Host) -> Iterable[str]:
    """Remove those; their instances must have gone before. One that is in use stays."""
    removed = []
    for file, event, _ in _left(host):
        with suppress(AttachError):
            _write(host, file, f"-:{event}", event)
            removed.append(event)
    return removed

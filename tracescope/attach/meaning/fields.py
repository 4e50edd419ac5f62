"""What the fields of tracepoints other than system calls mean, as far as type and name tell it.

Input: names and types from `events/<group>/<name>/format`. Flags and enumerations are in the event's `print fmt`; here
is what it prints by code: addresses (`%pI4`, `%pI6c`, `%pISpc`, `%pM`), devices (`MAJOR:MINOR`), modes, signals and
errors.
"""

from __future__ import annotations

import re
from functools import lru_cache

from tracescope.attach.meaning.kinds import Device, IpAddress, LinkAddress, Meaning, Mode, Named, Result
from tracescope.attach.meaning.names import MACHINE, name_set
from tracescope.attach.meaning.spec import socket_address

__all__ = ("field_meaning",)

_BYTES = re.compile(r"(?:__u8|u8|unsigned char|uint8_t)\s*\[(\w+|sizeof\(struct \w+\))\]")
# `saddr`, `daddr_v6`, `src`, `gw6`, `primary_key4`, `grp`: what the networking events call addresses.
_IP = re.compile(r"[sd]addr(_v6)?|src|dst|gw[46]?|primary_key[46]|grp|laddr|raddr|addr")
_LINK = re.compile(r"(new_)?lladdr|addr|grpmac|[sd]mac|mac(_addr)?|bssid|peer(_mac)?")
_SIZES = {"sizeof(struct in_addr)": 4, "sizeof(struct in6_addr)": 16, "sizeof(struct sockaddr_in6)": 28}
_IP_SIZES, _SOCKET_SIZES, _LINK_SIZES = (4, 16), (28, 128), (6, 32)
_LINK_BYTES = 6

_ERROR = re.compile(r"err|error|errno|ret|retval|rc|result")
_SIGNED = {"int": 32, "s32": 32, "__s32": 32, "int32_t": 32, "long": 64, "ssize_t": 64, "s64": 64, "loff_t": 64}
# Where a negative `ret` is an error number and nothing else.
_RETURNING = frozenset(
    {"syscalls", "raw_syscalls", "ext4", "btrfs", "fuse", "filelock", "io_uring", "jbd2", "sock", "f2fs", "erofs"}
)
# fuse says `dev_t` and means the number of a connection.
_NO_DEVICE = frozenset({"connection"})


@lru_cache(maxsize=4096)
def field_meaning(group: str, event: str, field: str, c_type: str, *, machine: str = MACHINE) -> Meaning | None:
    """The meaning of a field of the tracepoint `group:event`; None when it is what its type says.

    `c_type` is the type with its array, `__u8[4]`. Meanings of arrays are decoded from the field's own bytes.
    """
    array = _BYTES.fullmatch(c_type)
    if array:
        return _array(field, array[1], machine)
    if c_type == "dev_t":
        return None if field in _NO_DEVICE else Device(inside=True)
    if c_type == "umode_t" or (c_type == "__u16" and field == "mode"):
        return Mode(name_set("file_type", machine))
    if c_type == "int" and field in ("sig", "signal"):
        names = name_set("signal", machine)
        return Named(names, 32, signed=True) if names else None
    bits = _SIGNED.get(c_type)
    return _error(group, event, field, bits, machine) if bits else None


def _array(field: str, bound: str, machine: str) -> Meaning | None:
    size = int(bound) if bound.isdigit() else _SIZES.get(bound, 0)
    if size in _IP_SIZES and _IP.fullmatch(field):
        return IpAddress()
    if size in _SOCKET_SIZES and _IP.fullmatch(field):
        return socket_address(None, machine)
    return LinkAddress(_LINK_BYTES) if size in _LINK_SIZES and _LINK.fullmatch(field) else None


def _error(group: str, event: str, field: str, bits: int, machine: str) -> Result | None:
    """A result is told as an error only where -1 cannot be anything else."""
    if not _ERROR.fullmatch(field) or (field in ("ret", "result", "rc", "retval") and group not in _RETURNING):
        return None
    if event.startswith("signal_"):
        return None  # si_errno, and a code of its own
    errors = [name_set(id_, machine) for id_ in ("errno", "kernel_errno")]
    return Result(tuple(names for names in errors if names), bits=bits)

"""The bytes of a `struct sockaddr` as words.

Layouts: uapi linux/in.h, in6.h, un.h, netlink.h, if_packet.h, vm_sockets.h, if_alg.h. Ports and IP addresses are in
network byte order, the rest in the machine's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from socket import AF_ALG, AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, AF_UNIX, AF_UNSPEC, AF_VSOCK, inet_ntop

from tracescope.attach.meaning.kinds import SocketAddress
from tracescope.attach.meaning.names import spell
from tracescope.printable import decode

__all__ = ("Fields", "ip_text", "link_text", "socket_words")

Fields = dict[str, "str | int | bool"]
_FAMILY = struct.Struct("=H")
_IP4, _IP6 = 4, 16


def ip_text(data: bytes) -> str | None:
    """An IPv4 address of 4 bytes, an IPv6 address of 16; None for any other number of bytes."""
    if len(data) == _IP4:
        return str(IPv4Address(data))
    return _ip6(data) if len(data) == _IP6 else None


def _ip6(data: bytes) -> str:
    """As the kernel and everybody writes it: an IPv4 address inside stays one, `::ffff:127.0.0.1`."""
    return inet_ntop(AF_INET6, data)


def link_text(data: bytes) -> str:
    """A hardware address, two digits a byte: `00:1a:2b:…`."""
    return data.hex(":")


def socket_words(meaning: SocketAddress, data: bytes) -> Fields:
    """A socket address: its family and what belongs to it; what cannot be told is `raw`."""
    if len(data) < _FAMILY.size:
        return {"raw": f"0x{data.hex()}"}
    family = int(_FAMILY.unpack_from(data)[0])
    name = spell(meaning.families, family, 16) if meaning.families else family
    read = _FAMILIES.get(family)
    try:
        found = read(meaning, data) if read else _other(data)
    except struct.error:  # too short for its family
        found = _other(data)
    return {"family": name} | found


def _other(data: bytes) -> Fields:
    return {"raw": f"0x{data[_FAMILY.size :].hex()}"}


def _inet(_: SocketAddress, data: bytes) -> Fields:
    port, address = struct.unpack_from("!2xH4s", data)
    return {"address": str(IPv4Address(address)), "port": port}


def _inet6(_: SocketAddress, data: bytes) -> Fields:
    port, flow, address = struct.unpack_from("!2xHI16s", data)
    found: Fields = {"address": _ip6(address), "port": port}
    if flow:
        found["flowinfo"] = flow
    # The first version of the structure (RFC 2133) ends before the scope.
    scope = struct.unpack_from("=I", data, 24)[0] if len(data) >= 28 else 0
    return found | ({"scope_id": scope} if scope else {})


def _unix(_: SocketAddress, data: bytes) -> Fields:
    path = data[_FAMILY.size :]
    if not path:
        return {}
    if path[0]:
        return {"path": decode(path.partition(b"\0")[0])}
    return {"path": "@" + decode(path[1:]), "abstract": True}


def _netlink(_: SocketAddress, data: bytes) -> Fields:
    port, groups = struct.unpack_from("=4xII", data)
    return {"pid": port, "groups": f"{groups:#x}"}


def _packet(meaning: SocketAddress, data: bytes) -> Fields:
    (protocol,) = struct.unpack_from("!2xH", data)
    index, length = struct.unpack_from("=4xi3xB", data)
    name = spell(meaning.protocols, protocol, 16) if meaning.protocols else protocol
    return {"protocol": name, "ifindex": index, "address": link_text(data[12 : 12 + min(length, 8)])}


def _vsock(_: SocketAddress, data: bytes) -> Fields:
    port, cid = struct.unpack_from("=4xII", data)
    return {"cid": cid, "port": port}


def _alg(_: SocketAddress, data: bytes) -> Fields:
    kind, name = struct.unpack_from("=2x14s8x64s", data)
    return {"type": decode(kind.partition(b"\0")[0]), "name": decode(name.partition(b"\0")[0])}


_FAMILIES: Mapping[int, Callable[[SocketAddress, bytes], Fields]] = {
    AF_UNSPEC: lambda _, data: {} if not any(data) else _other(data),
    AF_UNIX: _unix,
    AF_INET: _inet,
    AF_INET6: _inet6,
    AF_NETLINK: _netlink,
    AF_PACKET: _packet,
    AF_ALG: _alg,
    AF_VSOCK: _vsock,
}

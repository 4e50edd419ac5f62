"""Fields of tracepoints: what type and name tell, against what the kernel's own print fmt does with them."""

from __future__ import annotations

import re
import socket
import struct

import pytest

from tracescope.attach.meaning import field_meaning, words
from tracescope.attach.meaning.kinds import Device, IpAddress, LinkAddress, Mode, Named, Result, SocketAddress
from tracescope.host import SnapshotHost
from tracescope.model import EventFormat
from tracescope.sources.print_fmt import split_print_fmt
from tracescope.sources.tracefs import read_formats

HOSTS = ["debian11", "debian12"]
CONVERSION = re.compile(r"%[-+ #0]*(\*|\d+)?(?:\.(\*|\d*))?(?:hh|h|ll|l|z|L|t)?(p[A-Za-z0-9]*|[a-zA-Z%])")
# lib/vsprintf.c, pointer(): what the kernel prints with each of these.
POINTERS = {"pI4": IpAddress, "pI6c": IpAddress, "pI6": IpAddress, "pISpc": SocketAddress, "pM": LinkAddress}
X86 = "x86_64"


def events(name: str, request: pytest.FixtureRequest) -> list[EventFormat]:
    host: SnapshotHost = request.getfixturevalue(name)
    return [event for event in read_formats(host).formats if event.group != "syscalls"]


def printed(event: EventFormat) -> dict[str, str]:
    """The extension of `%p` that each plain field is printed with."""
    text, arguments = split_print_fmt(event.print_fmt)
    kinds = []
    for width, digits, kind in CONVERSION.findall(text):
        kinds += ["*"] * ((width == "*") + (digits == "*")) + ([kind] if kind != "%" else [])
    names = [re.fullmatch(r"\(*REC->(\w+)\)*", argument) for argument in arguments]
    return {name[1]: kind for name, kind in zip(names, kinds, strict=True) if name}


@pytest.mark.parametrize("host", HOSTS)
def test_what_the_kernel_prints_as_an_address_is_one(host: str, request: pytest.FixtureRequest):
    seen = 0
    for event in events(host, request):
        kinds = printed(event)
        for field in event.fields:
            wanted = POINTERS.get(kinds.get(field.name, ""))
            found = field_meaning(event.group, event.name, field.name, field.full_type, machine=X86)
            if wanted and field.array is not None and not field.location:
                assert isinstance(found, wanted), (event.probe, field.name)
                seen += 1
            if isinstance(found, IpAddress | SocketAddress):
                assert kinds[field.name] in POINTERS, (event.probe, field.name)
    assert seen > 30


@pytest.mark.parametrize("host", HOSTS)
def test_what_the_kernel_splits_into_major_and_minor_is_a_device(host: str, request: pytest.FixtureRequest):
    seen = 0
    for event in events(host, request):
        for field in event.fields:
            split = re.search(rf"REC->{field.name}\)+ *>> *20", event.print_fmt)
            found = field_meaning(event.group, event.name, field.name, field.full_type)
            if field.type == "dev_t":
                assert isinstance(found, Device) == bool(split), (event.probe, field.name)
                seen += 1
            else:
                assert not isinstance(found, Device)
    assert seen > 50


@pytest.mark.parametrize("host", HOSTS)
def test_a_file_mode_is_what_the_kernel_prints_in_octal(host: str, request: pytest.FixtureRequest):
    seen = 0
    for event in events(host, request):
        text, _ = split_print_fmt(event.print_fmt)
        for field in event.fields:
            if isinstance(field_meaning(event.group, event.name, field.name, field.full_type), Mode):
                assert "0%o" in text, event.probe
                seen += 1
    assert seen > 3


@pytest.mark.parametrize("host", HOSTS)
def test_signals_and_errors_are_named(host: str, request: pytest.FixtureRequest):
    found = {
        f"{event.group}:{event.name}.{field.name}": meaning
        for event in events(host, request)
        for field in event.fields
        if (meaning := field_meaning(event.group, event.name, field.name, field.full_type, machine=X86))
    }
    for event in ("signal:signal_generate", "signal:signal_deliver"):
        assert isinstance(found[f"{event}.sig"], Named)
        # si_errno is no result.
        assert f"{event}.errno" not in found
    assert words(found["raw_syscalls:sys_exit.ret"], -13) == "EACCES"
    assert words(found["raw_syscalls:sys_exit.ret"], 13) == 13
    errors = {name: meaning for name, meaning in found.items() if isinstance(meaning, Result)}
    assert len(errors) > 10
    assert all(words(meaning, 0xFFFFFFFE if meaning.bits == 32 else -2) == "ENOENT" for meaning in errors.values())


def test_the_addresses_of_a_socket_event_are_text():
    four = bytes([10, 0, 0, 1])
    assert words(field_meaning("sock", "inet_sock_set_state", "saddr", "__u8[4]"), 0, four) == "10.0.0.1"
    six = socket.inet_pton(socket.AF_INET6, "::ffff:10.0.0.1")
    assert words(field_meaning("sock", "inet_sock_set_state", "saddr_v6", "__u8[16]"), 0, six) == "::ffff:a00:1"
    whole = struct.pack("=H", 2) + struct.pack("!H4s", 443, four) + bytes(20)
    for c_type in ("__u8[28]", "__u8[sizeof(struct sockaddr_in6)]"):
        told = words(field_meaning("tcp", "tcp_probe", "saddr", c_type, machine=X86), 0, whole)
        assert told == {"family": "AF_INET", "address": "10.0.0.1", "port": 443}


def test_a_device_inside_the_kernel_is_split_at_bit_20():
    assert words(field_meaning("block", "block_rq_issue", "dev", "dev_t"), 8 << 20 | 1) == "8:1"
    assert words(field_meaning("block", "block_rq_issue", "dev", "dev_t"), 0xFFFFFFFF) == "4095:1048575"


def test_a_hardware_address_is_six_bytes():
    told = words(field_meaning("bridge", "br_fdb_update", "addr", "unsigned char[6]"), 0, bytes(6))
    assert told == "00:00:00:00:00:00"


@pytest.mark.parametrize(
    ("group", "event", "field", "c_type"),
    [
        ("fuse", "fuse_request_send", "connection", "dev_t"),
        ("btrfs", "btrfs_sync_file", "fsid", "u8[16]"),
        ("sched", "sched_switch", "prev_comm", "char[16]"),
        ("sched", "sched_switch", "prev_pid", "pid_t"),
        ("migrate", "mm_migrate_pages", "mode", "enum migrate_mode"),
        ("kvm", "kvm_exit", "ret", "int"),
        ("", "", "", ""),
        ("x", "y", "addr", "__u8[99999999999999999999]"),
        ("x", "y", "addr", "__u8[sizeof(struct nobody)]"),
    ],
)
def test_what_type_and_name_do_not_tell_is_left_as_it_is(group: str, event: str, field: str, c_type: str):
    assert field_meaning(group, event, field, c_type, machine=X86) is None

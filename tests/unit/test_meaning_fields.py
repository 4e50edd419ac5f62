"""Fields of tracepoints: what type and name tell, against what the kernel's own print fmt does with them."""

from __future__ import annotations

import socket
import struct

import pytest
from meaning_formats import X86, check_addresses, check_devices, check_modes, events_of

from tracescope.attach.meaning import field_meaning, words
from tracescope.attach.meaning.kinds import Named, Result

HOSTS = ["debian11", "debian12"]


@pytest.mark.parametrize("host", HOSTS)
def test_what_the_kernel_prints_as_an_address_is_one(host: str, request: pytest.FixtureRequest):
    assert check_addresses(events_of(request.getfixturevalue(host))) > 30


@pytest.mark.parametrize("host", HOSTS)
def test_what_the_kernel_splits_into_major_and_minor_is_a_device(host: str, request: pytest.FixtureRequest):
    assert check_devices(events_of(request.getfixturevalue(host))) > 50


@pytest.mark.parametrize("host", HOSTS)
def test_a_file_mode_is_what_the_kernel_prints_in_octal(host: str, request: pytest.FixtureRequest):
    assert check_modes(events_of(request.getfixturevalue(host))) > 3


@pytest.mark.parametrize("host", HOSTS)
def test_signals_and_errors_are_named(host: str, request: pytest.FixtureRequest):
    found = {
        f"{event.group}:{event.name}.{field.name}": meaning
        for event in events_of(request.getfixturevalue(host))
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
    assert words(field_meaning("sock", "inet_sock_set_state", "saddr_v6", "__u8[16]"), 0, six) == "::ffff:10.0.0.1"
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

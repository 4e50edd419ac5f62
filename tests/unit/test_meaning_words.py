"""Values and memory in words, against what Python's own modules make of the same, and never an exception."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import struct
import sys
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracescope.attach import meaning as room
from tracescope.attach.meaning import Phase, key, meaning_of, names_of, result_meaning, tell, words
from tracescope.attach.meaning.kinds import IpAddress, LinkAddress, Meaning, Record, SocketAddress
from tracescope.attach.meaning.names import load_table
from tracescope.attach.meaning.spec import socket_address
from tracescope.attach.meaning.structures import layout, layout_ids

X86 = "x86_64"
ULL = (1 << 64) - 1
EXIT = Phase.EXIT


def arg(call: str, argument: str, c_type: str, phase: Phase = Phase.ENTER) -> Meaning:
    found = meaning_of(call, argument, c_type, phase, machine=X86)
    assert found is not None
    return found


OPEN_FLAGS = arg("openat", "flags", "int")
SOCKADDR = arg("connect", "uservaddr", "struct sockaddr *")


# ---- numbers


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (os.O_RDONLY, "O_RDONLY"),
        (0o1101, "O_WRONLY|O_CREAT|O_TRUNC"),
        (0o4010002, "O_RDWR|O_SYNC"),
        (0o10000, "O_RDONLY|O_DSYNC"),
        (0o20200002, "O_RDWR|O_TMPFILE"),
        (3, "0x3"),
        (1 << 31 | 1, "O_WRONLY|0x80000000"),
        (0xFFFFFFFF, "0xffffffff"),
        (0xDEADBEEF00000001, "O_WRONLY"),
    ],
)
def test_open_flags_are_the_access_mode_the_flags_and_the_rest_in_hex(value: int, expected: str):
    assert words(OPEN_FLAGS, value) == expected


@pytest.mark.parametrize(
    ("call", "argument", "c_type", "value", "expected"),
    [
        ("openat", "dfd", "int", -100 & ULL, "AT_FDCWD"),
        ("openat", "dfd", "int", 0xFFFFFF9C, "AT_FDCWD"),
        ("openat", "dfd", "int", 5, 5),
        ("mmap", "fd", "unsigned long", -1 & ULL, -1),
        ("mmap", "fd", "unsigned long", 0xFFFFFFFF, -1),
        ("mmap", "addr", "unsigned long", 0x7F00DEADB000, "0x7f00deadb000"),
        ("mmap", "prot", "unsigned long", 0, "PROT_NONE"),
        ("mmap", "prot", "unsigned long", 7, "PROT_READ|PROT_WRITE|PROT_EXEC"),
        ("mmap", "flags", "unsigned long", 0x20022, "MAP_PRIVATE|MAP_ANONYMOUS|MAP_STACK"),
        ("mmap", "flags", "unsigned long", 0x3, "MAP_SHARED_VALIDATE"),
        (
            "mmap", "flags", "unsigned long", 0x54040022,
            "MAP_PRIVATE|MAP_HUGE_2MB|MAP_ANONYMOUS|MAP_HUGETLB",
        ),
        ("clone", "clone_flags", "unsigned long", 0x1200011, "SIGCHLD|CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID"),
        ("clone", "clone_flags", "unsigned long", 0x100, "CLONE_VM"),
        ("socket", "type", "int", 0o2004001, "SOCK_STREAM|SOCK_NONBLOCK|SOCK_CLOEXEC"),
        ("lseek", "whence", "unsigned int", 9, 9),
        ("kill", "sig", "int", 0, 0),
        ("kill", "sig", "int", 35, "SIGRTMIN+1"),
        ("chmod", "mode", "umode_t", 0o644, "0644"),
        ("chmod", "mode", "umode_t", 0, "0000"),
        ("chmod", "mode", "umode_t", 0o4755, "04755"),
        ("mknod", "mode", "umode_t", 0o20666, "S_IFCHR|0666"),
        ("mknod", "mode", "umode_t", 0o30666, "030000|0666"),
        ("mknod", "dev", "unsigned", os.makedev(8, 1), "8:1"),
        ("mknod", "dev", "unsigned", os.makedev(259, 70000) & 0xFFFFFFFF, "259:70000"),
        ("umask", "mask", "int", 0o22, "022"),
        ("chown", "user", "uid_t", 0xFFFFFFFF, "unchanged"),
        ("setresuid", "euid", "uid_t", -1 & ULL, "unchanged"),
        ("setuid", "uid", "uid_t", 0xFFFFFFFF, 0xFFFFFFFF),
        ("access", "mode", "int", 0, "F_OK"),
        ("access", "mode", "int", 6, "R_OK|W_OK"),
        ("futex", "op", "int", 137 | 256, "FUTEX_WAIT_BITSET_PRIVATE|FUTEX_CLOCK_REALTIME"),
        ("ioctl", "cmd", "unsigned int", 0x5401, "TCGETS"),
        ("ioctl", "cmd", "unsigned int", 0x5413, "TIOCGWINSZ"),
        ("ioctl", "cmd", "unsigned int", 0x541B, "FIONREAD"),
        ("ioctl", "cmd", "unsigned int", 0xC0104500, "_IOC(_IOC_READ|_IOC_WRITE, 0x45, 0, 0x10)"),
        ("ioprio_set", "ioprio", "int", 2 << 13 | 4, "IOPRIO_CLASS_BE|4"),
        ("quotactl", "cmd", "unsigned int", 0x800007 << 8 | 1, "Q_GETQUOTA|GRPQUOTA"),
        ("msgget", "msgflg", "int", 0o1600, "IPC_CREAT|0600"),
        ("personality", "personality", "unsigned int", 0xFFFFFFFF, "0xffffffff"),
        ("personality", "personality", "unsigned int", 0x40008, "PER_LINUX32|ADDR_NO_RANDOMIZE"),
        ("getrusage", "who", "int", -1 & ULL, "RUSAGE_CHILDREN"),
        ("getrusage", "who", "int", 0xFFFFFFFF, "RUSAGE_CHILDREN"),
        ("reboot", "magic1", "int", 0xFEE1DEAD, "LINUX_REBOOT_MAGIC1"),
        ("wait4", "options", "int", 0x40000001, "WNOHANG|__WALL"),
        ("clock_gettime", "which_clock", "const clockid_t", 1, "CLOCK_MONOTONIC"),
        ("mount", "flags", "unsigned long", 0xC0ED0001, "MS_MGC_VAL|MS_RDONLY"),
        ("mount", "flags", "unsigned long", 0x5020, "MS_REMOUNT|MS_BIND|MS_REC"),
        ("unlinkat", "flag", "int", 0x200, "AT_REMOVEDIR"),
        ("faccessat2", "flags", "int", 0x200, "AT_EACCESS"),
    ],
)  # fmt: skip
def test_a_number_is_told_in_the_words_of_its_argument(
    call: str, argument: str, c_type: str, value: int, expected: int | str
):
    assert words(arg(call, argument, c_type), value) == expected


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGUSR1, signal.SIGRTMIN, signal.SIGRTMAX, signal.SIGCHLD])
def test_a_signal_has_pythons_name(number: signal.Signals):
    assert words(arg("kill", "sig", "int"), number) == number.name


@given(st.integers(0, 0xFFF), st.integers(0, 0xFFFFF))
def test_a_device_of_user_space_is_as_os_major_and_minor_read_it(major: int, minor: int):
    assert words(arg("mknod", "dev", "unsigned"), os.makedev(major, minor)) == f"{major}:{minor}"


def test_an_argument_without_meaning_is_itself():
    assert meaning_of("listen", "backlog", "int") is None
    assert words(None, 128) == 128


# ---- choices


@pytest.mark.parametrize(
    ("call", "argument", "c_type", "others", "value", "memory", "expected"),
    [
        ("fcntl", "arg", "unsigned long", {"cmd": 4}, 0o4000, None, "O_RDONLY|O_NONBLOCK"),
        ("fcntl", "arg", "unsigned long", {"cmd": 2}, 1, None, "FD_CLOEXEC"),
        ("fcntl", "arg", "unsigned long", {"cmd": 1030}, 10, None, 10),
        ("fcntl", "arg", "unsigned long", {"cmd": 77}, 0x1000, None, "0x1000"),
        ("fcntl", "arg", "unsigned long", {}, 12, None, 12),
        ("openat", "mode", "umode_t", {"flags": 0o100}, 0o600, None, "0600"),
        ("openat", "mode", "umode_t", {"flags": 0o20200002}, 0o600, None, "0600"),
        ("openat", "mode", "umode_t", {"flags": 0o200000}, 0o7777, None, 0o7777),
        ("socket", "protocol", "int", {"family": 2}, 6, None, "IPPROTO_TCP"),
        ("socket", "protocol", "int", {"family": 16}, 0, None, "NETLINK_ROUTE"),
        ("socket", "protocol", "int", {"family": 17}, socket.htons(3), None, "ETH_P_ALL"),
        ("socket", "protocol", "int", {"family": 1}, 0, None, 0),
        ("setsockopt", "optname", "int", {"level": 1}, 2, None, "SO_REUSEADDR"),
        ("setsockopt", "optname", "int", {"level": 6}, 1, None, "TCP_NODELAY"),
        ("setsockopt", "optname", "int", {"level": 99}, 1, None, 1),
        ("prctl", "arg2", "unsigned long", {"option": 15}, 0x1000, b"name\0", "name"),
        ("prctl", "arg2", "unsigned long", {"option": 1}, 9, None, "SIGKILL"),
        ("prctl", "arg2", "unsigned long", {"option": 38 | 1 << 32}, 1, None, 1),
        ("ptrace", "data", "unsigned long", {"request": 7}, 15, None, "SIGTERM"),
        ("futex", "utime", "const struct __kernel_timespec *", {"op": 1}, 5, None, 5),
    ],
)
def test_a_value_is_told_by_the_argument_that_decides(
    call: str, argument: str, c_type: str, others: dict[str, int], value: int, memory: bytes | None, expected: object
):
    assert words(arg(call, argument, c_type), value, memory, others) == expected


def test_a_socket_options_value_is_read_by_level_and_option():
    value = arg("setsockopt", "optval", "char *")
    linger = struct.pack("=ii", 1, 30)
    assert words(value, 1, linger, {"level": 1, "optname": 13, "optlen": 8}) == {"onoff": 1, "linger": 30}
    assert words(value, 1, struct.pack("=i", 1), {"level": 1, "optname": 2, "optlen": 4}) == 1
    timeval = struct.pack("=qq", 2, 500_000)
    assert words(value, 1, timeval, {"level": 1, "optname": 20, "optlen": 16}) == 2_500_000_000
    assert words(value, 1, b"reno", {"level": 6, "optname": 13, "optlen": 4}) == "reno"
    assert words(value, 1, b"abc", {"level": 0, "optname": 4, "optlen": 3}) == {"raw": "0x616263"}


# ---- results


@pytest.mark.parametrize(
    ("call", "value", "others", "expected"),
    [
        ("openat", 3, {}, 3),
        ("openat", -2 & ULL, {}, "ENOENT"),
        ("openat", -2, {}, "ENOENT"),
        ("mmap", 0x7F0000000000, {}, "0x7f0000000000"),
        ("mmap", -12, {}, "ENOMEM"),
        ("read", -4095, {}, -4095),
        ("read", -512, {}, "ERESTARTSYS"),
        ("umask", 0o22, {}, "022"),
        ("fcntl", 0o100002, {"cmd": 3}, "O_RDWR|O_LARGEFILE"),
        ("fcntl", 1, {"cmd": 1}, "FD_CLOEXEC"),
        ("fcntl", 7, {}, 7),
        ("no_such_call", -1, {}, "EPERM"),
        ("no_such_call", -4096, {}, -4096),
    ],
)
def test_a_result_is_the_name_of_an_error_or_what_the_call_returns(
    call: str, value: int, others: dict[str, int], expected: int | str
):
    assert words(result_meaning(call, machine=X86), value, None, others) == expected


@given(st.integers(-4095, -1))
def test_every_error_that_libc_knows_has_a_name_of_that_number(value: int):
    told = words(result_meaning("read", machine=X86), value)
    # Where there are two (ENOTSUP, EOPNOTSUPP), ours is the kernel's.
    assert (getattr(errno, str(told), None) == -value) == (-value in errno.errorcode)


# ---- memory


def bound(family: int, address: object, kind: int = socket.SOCK_STREAM) -> bytes:
    """The bytes of an address, from what the kernel gives back for a bound socket."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    with socket.socket(family, kind) as bound_socket:
        bound_socket.bind(address)
        buffer, length = ctypes.create_string_buffer(128), ctypes.c_int(128)
        assert libc.getsockname(bound_socket.fileno(), buffer, ctypes.byref(length)) == 0
        return buffer.raw[: length.value]


def test_an_ipv4_address_is_the_one_that_python_bound():
    data = bound(socket.AF_INET, ("127.0.0.1", 0))
    port = int.from_bytes(data[2:4], "big")
    assert words(SOCKADDR, 1, data) == {"family": "AF_INET", "address": "127.0.0.1", "port": port}


def test_an_ipv6_address_has_its_scope():
    data = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", 443, 0x12345)
    data += socket.inet_pton(socket.AF_INET6, "fe80::1") + struct.pack("=I", 2)
    expected = {"family": "AF_INET6", "address": "fe80::1", "port": 443, "flowinfo": 0x12345, "scope_id": 2}
    assert words(SOCKADDR, 1, data) == expected
    assert words(SOCKADDR, 1, data[:24]) == {name: value for name, value in expected.items() if name != "scope_id"}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/tmp/s", {"family": "AF_UNIX", "path": "/tmp/s"}),
        ("\0name\0more", {"family": "AF_UNIX", "path": "@name\0more", "abstract": True}),
    ],
)
def test_a_unix_address_is_a_path_or_an_abstract_name(tmp_path, address: str, expected: dict[str, object]):
    if not address.startswith("\0"):
        address = str(tmp_path / "s")
        expected = {"family": "AF_UNIX", "path": address}
    assert words(SOCKADDR, 1, bound(socket.AF_UNIX, address)) == expected


def test_an_unnamed_unix_address_has_no_path():
    assert words(SOCKADDR, 1, struct.pack("=H", 1)) == {"family": "AF_UNIX"}


def test_a_netlink_address_has_its_port_and_groups():
    data = struct.pack("=HHII", socket.AF_NETLINK, 0, 4711, 0x11)
    assert words(SOCKADDR, 1, data) == {"family": "AF_NETLINK", "pid": 4711, "groups": "0x11"}


def test_a_packet_address_has_protocol_interface_and_hardware_address():
    data = struct.pack("=H", socket.AF_PACKET) + struct.pack("!H", 0x0800)
    data += struct.pack("=iHBB8s", 2, 1, 0, 6, bytes.fromhex("0242ac110002"))
    told = {"family": "AF_PACKET", "protocol": "ETH_P_IP", "ifindex": 2, "address": "02:42:ac:11:00:02"}
    assert words(SOCKADDR, 1, data) == told


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", {"raw": "0x"}),
        (b"\x02", {"raw": "0x02"}),
        (struct.pack("=H", 2) + b"\0P\x7f", {"family": "AF_INET", "raw": "0x00507f"}),
        (struct.pack("=H", 31) + b"\1\2", {"family": "AF_BLUETOOTH", "raw": "0x0102"}),
        (struct.pack("=H", 999) + b"\1", {"family": 999, "raw": "0x01"}),
        (struct.pack("=H14x", 0), {"family": "AF_UNSPEC"}),
    ],
)
def test_a_short_or_unknown_address_is_shown_raw(data: bytes, expected: dict[str, object]):
    assert words(SOCKADDR, 1, data) == expected


def test_memory_that_was_not_read_is_an_address_and_null_is_zero():
    path = arg("openat", "filename", "const char *")
    assert words(path, 0) == {"address": "0x0"}
    assert words(path, 0x7FFE0000) == {"address": "0x7ffe0000"}


def test_text_ends_at_the_nul_and_keeps_bytes_that_are_not_utf8():
    path = arg("openat", "filename", "const char *")
    assert tell(path, 1, b"/tmp/\xff\0rest") == ("/tmp/\udcff", False)


@pytest.mark.parametrize("data", [b"x" * 4096, b"x" * 4095 + b"\0", b"abc"])
def test_text_that_was_cut_says_so(data: bytes):
    assert tell(arg("openat", "filename", "const char *"), 1, data).truncated


def test_a_buffer_says_when_there_was_more_of_it():
    buffer = arg("write", "buf", "const char *")
    assert tell(buffer, 1, b"a\0b", {"count": 3}) == ("a\0b", False)
    assert tell(buffer, 1, b"a" * 128, {"count": 4000}) == ("a" * 128, True)
    assert tell(buffer, 1, b"a", {"count": 3}) == ("a", True)
    assert tell(buffer, 1, b"padding is cut", {"count": 7}) == ("padding", False)


def test_an_array_says_when_there_was_more_of_it():
    polled = arg("poll", "ufds", "struct pollfd *")
    data = struct.pack("=ihhihh", 5, 1, 0x7FFF, 6, 0x2005, 0)
    expected = [{"fd": 5, "events": "POLLIN"}, {"fd": 6, "events": "POLLIN|POLLOUT|POLLRDHUP"}]
    assert tell(polled, 1, data, {"nfds": 2}) == (expected, False)
    assert tell(polled, 1, data, {"nfds": 3 | 1 << 40}) == (expected, True)


def test_times_are_nanoseconds_and_the_key_says_so():
    sleep = arg("nanosleep", "rqtp", "struct __kernel_timespec *")
    assert words(sleep, 1, struct.pack("=qq", 1, 500)) == 1_000_000_500
    assert words(sleep, 1, struct.pack("=qq", -1, 0)) == -1_000_000_000
    assert words(sleep, 1, struct.pack("=qq", 1, 1_000_000_000)) == {"raw": f"0x{struct.pack('=qq', 1, 10**9).hex()}"}
    assert key("rqtp", room.chosen(sleep), 5) == "rqtp_ns"
    assert key("rqtp", room.chosen(sleep), words(sleep, 0)) == "rqtp"
    assert key("flags", room.chosen(OPEN_FLAGS), "O_RDONLY") == "flags"


def test_the_two_times_of_utimensat_may_be_now_or_left_alone():
    times = arg("utimensat", "utimes", "struct __kernel_timespec *")
    data = struct.pack("=qqqq", 0, (1 << 30) - 1, 0, (1 << 30) - 2)
    assert words(times, 1, data) == ["UTIME_NOW", "UTIME_OMIT"]


def test_an_interval_timer_has_two_times():
    timer = arg("timer_settime", "new_setting", "const struct __kernel_itimerspec *")
    assert words(timer, 1, struct.pack("=qqqq", 0, 1, 2, 3)) == {"interval_ns": 1, "value_ns": 2_000_000_003}


def test_a_signal_set_is_the_names_of_its_signals():
    blocked = arg("rt_sigprocmask", "nset", "sigset_t *")
    data = (1 << signal.SIGINT - 1 | 1 << signal.SIGRTMIN - 1).to_bytes(8, sys.byteorder)
    assert words(blocked, 1, data) == ["SIGINT", "SIGRTMIN"]


@pytest.mark.parametrize(
    "code", [0, 3 << 8, signal.SIGKILL, signal.SIGSEGV | 0x80, signal.SIGSTOP << 8 | 0x7F, 0xFFFF, 0x3057F]
)
def test_a_wait_status_is_what_the_os_module_reads(code: int):
    told = words(arg("wait4", "stat_addr", "int *", EXIT), 1, code.to_bytes(4, sys.byteorder))
    assert isinstance(told, dict)
    if os.WIFEXITED(code):
        assert told == {"exit_code": os.WEXITSTATUS(code)}
    elif os.WIFSIGNALED(code):
        core = {"core": True} if os.WCOREDUMP(code) else {}
        assert told == {"signal": signal.Signals(os.WTERMSIG(code)).name} | core
    elif os.WIFCONTINUED(code):
        assert told == {"continued": True}
    else:
        assert told["stopped"] == signal.Signals(os.WSTOPSIG(code)).name


def test_descriptor_sets_and_processor_masks_are_numbers():
    data = (1 << 3 | 1 << 64).to_bytes(16, sys.byteorder)
    chosen = arg("select", "inp", "fd_set *")
    if sys.byteorder == "little":
        assert words(chosen, 1, data, {"n": 65}) == [3, 64]
        assert words(chosen, 1, data, {"n": 10}) == [3]
    assert words(arg("sched_setaffinity", "user_mask_ptr", "unsigned long *"), 1, b"\0" * 8, {"len": 8}) == []


def test_a_structure_that_is_cut_has_the_members_that_are_there():
    how = arg("openat2", "how", "struct open_how *")
    data = struct.pack("=QQQ", 0o100, 0o644, 8)
    whole = {"flags": "O_RDONLY|O_CREAT", "mode": "0644", "resolve": "RESOLVE_BENEATH"}
    assert tell(how, 1, data, {"usize": 24}) == (whole, False)
    assert words(how, 1, data[:20]) == {name: whole[name] for name in ("flags", "mode")}
    assert words(how, 1, b"abc") == {"raw": "0x616263"}
    assert tell(how, 1, data, {"usize": 4000}) == (whole, False)


def test_the_stat_of_a_file_is_os_stat(tmp_path):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    file = tmp_path / "f"
    file.write_text("12345")
    buffer = ctypes.create_string_buffer(144)
    # glibc's struct stat is the kernel's on 64-bit machines.
    assert libc.stat(bytes(file), buffer) == 0
    statbuf = meaning_of("newstat", "statbuf", "struct stat *", EXIT)
    if statbuf is None:
        pytest.skip("no tables for this machine")
    told, seen = words(statbuf, 1, buffer.raw), file.stat()
    assert isinstance(told, dict)
    assert told["size"] == 5
    assert (told["ino"], told["nlink"], told["uid"]) == (seen.st_ino, seen.st_nlink, seen.st_uid)
    assert told["dev"] == f"{os.major(seen.st_dev)}:{os.minor(seen.st_dev)}"
    assert told["mode"] == f"S_IFREG|0{seen.st_mode & 0o7777:o}"
    assert told["mtime_ns"] == seen.st_mtime_ns


def test_pipes_descriptors_and_what_recvfrom_filled_in_are_read_at_exit():
    assert words(arg("pipe2", "fildes", "int *", EXIT), 1, struct.pack("=ii", 3, 4)) == [3, 4]
    buffer = arg("recvfrom", "ubuf", "void *", EXIT)
    assert words(buffer, 1, b"hello, padded", {"ret": 5, "size": 100}) == "hello"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (bytes([127, 0, 0, 1]), "127.0.0.1"),
        (socket.inet_pton(socket.AF_INET6, "2001:db8::1"), "2001:db8::1"),
        (b"abc", {"raw": "0x616263"}),
    ],
)
def test_an_ip_address_in_a_record_is_its_text(data: bytes, text: object):
    assert words(IpAddress(), 0, data) == text


def test_a_hardware_address_in_a_record_is_its_bytes():
    assert words(LinkAddress(), 0, bytes(range(32))) == "00:01:02:03:04:05"


# ---- names for filters


def test_the_names_of_a_filter_are_those_of_the_argument():
    assert names_of(OPEN_FLAGS)["O_CREAT"] == os.O_CREAT
    assert names_of(OPEN_FLAGS)["O_ACCMODE"] == os.O_ACCMODE
    assert names_of(arg("kill", "sig", "int"))["SIGKILL"] == signal.SIGKILL
    assert names_of(arg("openat", "dfd", "int"))["AT_FDCWD"] == -100
    assert names_of(arg("access", "mode", "int"))["F_OK"] == 0
    assert names_of(arg("mknod", "mode", "umode_t"))["S_IFCHR"] == 0o20000
    assert names_of(arg("setsockopt", "optname", "int"))["TCP_NODELAY"] == socket.TCP_NODELAY
    assert names_of(result_meaning("openat", machine=X86))["ENOENT"] == 2
    assert names_of(arg("socket", "protocol", "int"))["ETH_P_ALL"] == socket.htons(3)
    assert dict(names_of(None)) == {}


@given(st.sampled_from(sorted(names_of(OPEN_FLAGS).items())))
def test_a_name_is_told_for_the_number_that_the_filter_knows_it_by(pair: tuple[str, int]):
    name, number = pair
    aliases = {"O_NDELAY": "O_NONBLOCK", "O_ACCMODE": "0x3"}
    assert aliases.get(name, name) in words(OPEN_FLAGS, number).split("|")


# ---- hostile bytes and numbers


def all_meanings() -> list[tuple[str, Meaning]]:
    table = load_table("calls.toml")
    found = []
    for phase, section in ((Phase.ENTER, "enter"), (Phase.EXIT, "exit")):
        for call, arguments in table[section].items():
            for argument in arguments:
                meaning = meaning_of(call, argument, "void *", phase, machine=X86)
                assert meaning is not None, (call, argument)
                found.append((f"{call}.{argument}", meaning))
    found += [(call, result_meaning(call, machine=X86)) for call in table["result"]]
    found += [(id_, Record(None, layout(id_, X86))) for id_ in layout_ids()]
    return [*found, ("ip", IpAddress()), ("link", LinkAddress()), ("sockaddr", socket_address(None, X86))]


MEANINGS = all_meanings()
ARGUMENTS = st.dictionaries(
    st.sampled_from(["cmd", "op", "option", "flags", "level", "optname", "family", "count", "len", "nfds", "ret", "n"]),
    st.one_of(st.integers(0, ULL), st.integers(0, 64)),
)


@given(
    st.sampled_from(MEANINGS),
    st.one_of(st.integers(), st.integers(0, ULL), st.integers(0, 256)),
    st.one_of(st.none(), st.binary(max_size=400)),
    ARGUMENTS,
)
def test_no_value_and_no_bytes_are_refused_and_the_word_is_json(
    named: tuple[str, Meaning], value: int, memory: bytes | None, arguments: dict[str, int]
):
    told = tell(named[1], value, memory, arguments)
    json.dumps(told.word)
    assert isinstance(told.truncated, bool)
    assert told == tell(named[1], value, memory, arguments)


@given(st.binary(max_size=140))
def test_any_socket_address_is_told(data: bytes):
    told = words(SOCKADDR, 1, data)
    assert isinstance(told, dict)
    assert "family" in told or "raw" in told


@pytest.mark.parametrize("family", [0, 1, 2, 10, 16, 17, 38, 40])
@given(data=st.binary(max_size=120))
def test_any_socket_address_of_a_known_family_is_told(family: int, data: bytes):
    told = words(SOCKADDR, 1, struct.pack("=H", family) + data)
    assert isinstance(told, dict)
    assert str(told["family"]).startswith("AF_")


def test_every_kind_of_memory_says_what_to_copy():
    kinds = [kind for _, kind in MEANINGS if any(field.name == "copy" for field in fields(kind))]
    assert len({type(kind) for kind in kinds}) > 10
    assert all(isinstance(kind, SocketAddress | Record | IpAddress | LinkAddress) for kind in kinds if not kind.copy)

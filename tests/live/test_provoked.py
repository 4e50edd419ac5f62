"""Tracepoints provoked by a test: what they say equals what the test did, in more than 60 tracepoints of 15 groups."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attached import HOST, attached, decoded

from tracescope.attach.decode.events import Event
from tracescope.attach.plan import Filters

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NAME = 15
F_SETLEASE = 1024
PAGE = mmap.PAGESIZE


def _names(text: str) -> list[str]:
    return text.split()


PROCESSES = _names(
    """
    sched:sched_process_fork sched:sched_process_exec sched:sched_prepare_exec sched:sched_process_exit
    sched:sched_process_wait sched:sched_wakeup_new sched:sched_waking sched:sched_switch sched:sched_stat_runtime
    task:task_newtask task:task_rename task:task_prctl_unknown oom:oom_score_adj_update
    """
)
TIMERS = _names(
    """
    signal:signal_generate signal:signal_deliver timer:itimer_state timer:itimer_expire timer:hrtimer_setup
    timer:hrtimer_start timer:hrtimer_cancel
    """
)
LOCKS = _names(
    """
    filelock:flock_lock_inode filelock:posix_lock_inode filelock:fcntl_setlk filelock:locks_remove_posix
    filelock:locks_get_lock_context filelock:generic_add_lease filelock:generic_delete_lease
    """
)
FILES = _names(
    """
    ext4:ext4_request_inode ext4:ext4_allocate_inode ext4:ext4_da_write_begin ext4:ext4_da_write_end
    ext4:ext4_da_reserve_space ext4:ext4_sync_file_enter ext4:ext4_sync_file_exit ext4:ext4_fallocate_enter
    ext4:ext4_fallocate_exit ext4:ext4_truncate_enter ext4:ext4_unlink_enter ext4:ext4_unlink_exit ext4:ext4_evict_inode
    ext4:ext4_free_inode writeback:writeback_dirty_folio writeback:writeback_mark_inode_dirty
    writeback:folio_wait_writeback filemap:mm_filemap_add_to_page_cache filemap:mm_filemap_delete_from_page_cache
    """
)
BLOCKS = _names(
    """
    block:block_bio_queue block:block_getrq block:block_io_start block:block_rq_issue block:block_plug
    block:block_unplug
    """
)
SOCKETS = _names(
    """
    sock:inet_sock_set_state sock:sock_send_length sock:sock_recv_length tcp:tcp_destroy_sock tcp:tcp_rcv_space_adjust
    tcp:tcp_probe tcp:tcp_receive_reset sock:inet_sk_error_report icmp:icmp_send net:net_dev_queue
    net:net_dev_start_xmit net:net_dev_xmit net:netif_rx skb:kfree_skb skb:skb_copy_datagram_iovec
    """
)
MEMORY = _names("exceptions:page_fault_user mmap:vm_unmapped_area kmem:mm_page_alloc kmem:rss_stat tlb:tlb_flush")
OTHERS = _names(
    """
    io_uring:io_uring_create printk:console capability:cap_capable raw_syscalls:sys_enter raw_syscalls:sys_exit
    percpu:percpu_alloc_percpu
    """
)
ALL = (*PROCESSES, *TIMERS, *LOCKS, *FILES, *BLOCKS, *SOCKETS, *MEMORY, *OTHERS)


class Found:
    """The events of a session; every tracepoint that it attached has to be asked for."""

    def __init__(self, names: list[str]) -> None:
        self.events: list[Event] = []
        self.waiting = set(names)

    def all(self, name: str) -> list[Event]:
        return [event for event in self.events if event.probe.endswith(f":{name}")]

    def one(self, name: str, /, **args: object) -> Event:
        """An event with these arguments."""
        (full,) = [one for one in {*self.waiting, *ALL} if one.endswith(f":{name}")]
        self.waiting.discard(full)
        candidates = self.all(name)
        matching = [event for event in candidates if args.items() <= event.args.items()]
        assert matching, f"{name} {args} is not among {[event.args for event in candidates[:8]]}"
        return matching[0]


@pytest.fixture
def provoke():
    """`with provoke(names) as found:` does, detaches, and then `found` is asked."""

    @contextmanager
    def run(names: list[str], *, everybody: bool = False) -> Iterator[Found]:
        found = Found([name for name in names if HOST.exists(f"{HOST.tracefs}/events/{name.replace(':', '/')}/format")])
        wanted = Filters() if everybody else Filters(tree=(os.getpid(),))
        with attached(*sorted(found.waiting), filters=wanted) as session:
            session.take()
            yield found
            session.stop()
            found.events = decoded(session)
            # Where a timer interrupts a program on this CPU the kernel skips ours: missed, no fault of the ring.
            counts = session.counts()
            assert (sum(one.lost for one in counts.per_probe) if everybody else counts.lost) == 0
        assert session.failed == []

    return run


def has(name: str) -> bool:
    return HOST.exists(f"{HOST.tracefs}/events/{name.replace(':', '/')}/format")


def test_more_than_sixty_tracepoints_of_fifteen_groups_are_provoked_here():
    here = {name for name in ALL if has(name)}
    assert len(here) >= 60
    assert len({name.partition(":")[0] for name in here}) >= 15


def test_processes(provoke):
    me = os.getpid()
    with provoke(PROCESSES) as found:
        comm = Path("/proc/self/comm").read_text().strip()
        child = os.fork()
        if child == 0:
            os.execv("/bin/true", ["true"])
        os.waitpid(child, 0)
        try:
            LIBC.prctl(PR_SET_NAME, b"a [name]\x1b", 0, 0, 0)
            LIBC.prctl(987654, 1, 2, 3, 4)
        finally:
            LIBC.prctl(PR_SET_NAME, comm.encode(), 0, 0, 0)
        adjusted = Path("/proc/self/oom_score_adj").read_text()
        Path("/proc/self/oom_score_adj").write_text("17")
        Path("/proc/self/oom_score_adj").write_text(adjusted)
    found.one("sched_process_fork", parent_pid=me, child_pid=child, parent_comm=comm)
    found.one("task_newtask", pid=child, comm=comm)
    found.one("sched_wakeup_new", pid=child, comm=comm)
    assert found.one("sched_process_exec", filename="/bin/true", pid=child, old_pid=child).pid == child
    if has("sched:sched_prepare_exec"):
        found.one("sched_prepare_exec", filename="/bin/true", interp="/bin/true", pid=child, comm=comm)
    found.one("sched_process_exit", pid=child, comm="true", group_dead=True)
    assert found.one("sched_process_wait", pid=child).pid == me
    assert found.one("sched_waking").args["target_cpu"] in range(os.cpu_count())
    # The parent gave way to wait; of the child's own last one nothing is heard: it has left the tree.
    assert found.one("sched_switch", prev_pid=me, prev_comm=comm).pid == me
    assert found.one("sched_stat_runtime", pid=me).args["runtime"] > 0
    assert found.one("task_rename", newcomm="a [name]\x1b", oldcomm=comm).pid == me
    if has("task:task_prctl_unknown"):
        found.one("task_prctl_unknown", option=987654, arg2=1, arg3=2, arg4=3, arg5=4)
    found.one("oom_score_adj_update", pid=me, comm=comm, oom_score_adj=17)
    assert found.waiting == set()


def test_signals_and_timers(provoke):
    me = os.getpid()
    handled = []
    for number in (signal.SIGUSR1, signal.SIGALRM):
        signal.signal(number, lambda number, _: handled.append(number))
    try:
        # A timer expires in an interrupt, whoever runs there.
        with provoke(TIMERS, everybody=True) as found:
            os.kill(me, signal.SIGUSR1)
            signal.setitimer(signal.ITIMER_REAL, 0.0035)
            signal.pause()
            time.sleep(0.001)
    finally:
        for number in (signal.SIGUSR1, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
    assert handled == [signal.SIGUSR1, signal.SIGALRM]
    found.one("signal_generate", sig="SIGUSR1", pid=me, code=0, errno=0, group=1, result=0)
    found.one("signal_deliver", sig="SIGALRM", code=128)
    found.one("itimer_state", which=0, value_sec=0, value_nsec=3_500_000, interval_sec=0)
    found.one("itimer_expire", which=0, pid=me)
    slept = found.one("hrtimer_setup", clockid="CLOCK_MONOTONIC")
    timers = {event.args["hrtimer"] for event in found.all("hrtimer_setup")}
    assert slept.args["hrtimer"] in timers
    assert found.one("hrtimer_start", was_armed=False).args["expires"] > 0
    found.one("hrtimer_cancel")
    assert found.waiting == set()


def test_file_locks(provoke, tmp_path):
    path = tmp_path / "locked"
    path.write_bytes(b"x" * 200)
    inode = path.stat().st_ino
    with provoke(LOCKS) as found:
        with path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            fcntl.lockf(file, fcntl.LOCK_EX, 10, 100)
        with path.open("rb") as file:
            fcntl.fcntl(file, F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(file, F_SETLEASE, fcntl.F_UNLCK)
    me = os.getpid()
    locked = {"i_ino": inode, "pid": me, "type": "F_WRLCK", "ret": 0}
    assert "FL_FLOCK" in found.one("flock_lock_inode", **locked).args["flags"]
    assert found.one("posix_lock_inode", **locked, fl_start=100, fl_end=109).args["flags"].startswith("FL_POSIX")
    found.one("fcntl_setlk", **locked, fl_start=100, fl_end=109)
    found.one("locks_get_lock_context", i_ino=inode, type="F_WRLCK")
    found.one("locks_remove_posix", i_ino=inode, type="F_UNLCK")
    found.one("generic_add_lease", i_ino=inode, type="F_RDLCK", flags="FL_LEASE", rcount=1)
    found.one("generic_delete_lease", i_ino=inode, flags="FL_LEASE")
    assert found.waiting == set()


def test_a_file_is_made_written_synced_cut_and_removed(provoke, tmp_path, require):
    require(filesystem(tmp_path) == "ext4", "temporary files are not on ext4")
    path = tmp_path / "a [file]"
    folder = tmp_path.stat().st_ino
    with provoke(FILES) as found:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
        inode = os.fstat(fd).st_ino
        os.write(fd, b"x" * (PAGE + 904))
        os.fsync(fd)
        os.posix_fallocate(fd, 2 * PAGE, PAGE)
        os.ftruncate(fd, 100)
        os.close(fd)
        path.unlink()
    mode = f"S_IFREG|{0o640 & ~umask():04o}"
    found.one("ext4_request_inode", dir=folder, mode=mode)
    found.one("ext4_allocate_inode", ino=inode, dir=folder, mode=mode)
    found.one("ext4_da_write_begin", ino=inode, pos=0)
    written = [event.args for event in found.all("ext4_da_write_end") if event.args["ino"] == inode]
    assert sum(args["copied"] for args in written) == PAGE + 904
    found.one("ext4_da_write_end", ino=inode)
    found.one("ext4_da_reserve_space", ino=inode)
    found.one("ext4_sync_file_enter", ino=inode, parent=folder, datasync=0)
    found.one("ext4_sync_file_exit", ino=inode, ret=0)
    found.one("ext4_fallocate_enter", ino=inode, offset=2 * PAGE, len=PAGE)
    found.one("ext4_fallocate_exit", ino=inode, pos=2 * PAGE, blocks=1, ret=0)
    found.one("ext4_truncate_enter", ino=inode)
    found.one("ext4_unlink_enter", ino=inode, parent=folder, size=100)
    found.one("ext4_unlink_exit", ino=inode, ret=0)
    found.one("ext4_evict_inode", ino=inode, nlink=0)
    found.one("ext4_free_inode", ino=inode, uid=os.getuid(), gid=os.getgid(), mode=mode)
    found.one("writeback_dirty_folio", ino=inode, index=1)
    found.one("writeback_mark_inode_dirty", ino=inode)
    found.one("folio_wait_writeback", ino=inode)
    found.one("mm_filemap_add_to_page_cache", i_ino=inode, index=0)
    found.one("mm_filemap_delete_from_page_cache", i_ino=inode, index=1)
    assert found.waiting == set()


def test_a_direct_write_goes_to_the_block_layer(provoke, tmp_path, require):
    require(filesystem(tmp_path) == "ext4", "temporary files are not on ext4")
    comm = Path("/proc/self/comm").read_text().strip()
    with provoke(BLOCKS) as found, mmap.mmap(-1, 2 * PAGE) as buffer:
        buffer.write(b"y" * 2 * PAGE)
        fd = os.open(tmp_path / "direct", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
        os.write(fd, buffer)
        os.close(fd)
    queued = found.one("block_bio_queue", nr_sector=2 * PAGE // 512, comm=comm, rwbs="WS")
    place = {name: queued.args[name] for name in ("dev", "nr_sector")}
    started = found.one("block_io_start", **place, bytes=2 * PAGE, comm=comm)
    found.one("block_getrq", **place)
    found.one("block_rq_issue", **place, sector=started.args["sector"], bytes=2 * PAGE)
    found.one("block_plug", comm=comm)
    found.one("block_unplug", comm=comm, nr_rq=1)
    assert found.waiting == set()


def test_sockets(provoke):
    with provoke(SOCKETS) as found:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            with socket.create_connection(("127.0.0.1", port)) as client:
                peer, (_, client_port) = server.accept()
                client.send(b"hello")
                assert peer.recv(100) == b"hello"
                peer.close()
        refused = socket.socket()
        with pytest.raises(ConnectionRefusedError):
            refused.connect(("127.0.0.1", port))
        refused.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"abc", ("127.0.0.1", port))
            udp_port = udp.getsockname()[1]
    family = {"family": "AF_INET"}
    state = found.one(
        "inet_sock_set_state", sport=0, dport=port, oldstate="TCP_CLOSE", newstate="TCP_SYN_SENT", **family
    )
    assert state.args["protocol"] == "IPPROTO_TCP"
    assert (state.args["daddr"], state.args["daddr_v6"]) == ("127.0.0.1", "::ffff:127.0.0.1")
    found.one("inet_sock_set_state", sport=port, newstate="TCP_LISTEN", saddr="127.0.0.1")
    found.one("sock_send_length", ret=5, protocol="IPPROTO_TCP", **family)
    found.one("sock_recv_length", ret=5, protocol="IPPROTO_TCP", **family)
    found.one("tcp_destroy_sock", sport=client_port, dport=port, **family)
    found.one("tcp_rcv_space_adjust", sport=port, dport=client_port)
    found.one("tcp_probe", sport=port, dport=client_port, **family)
    found.one("tcp_receive_reset", dport=port)
    found.one("inet_sk_error_report", error=111, dport=port)
    found.one("icmp_send", type=3, code=3, daddr="127.0.0.1", sport=udp_port, dport=port, ulen=8 + 3)
    found.one("net_dev_queue", name="lo", len=14 + 20 + 8 + 3)
    found.one("net_dev_start_xmit", name="lo", len=14 + 20 + 8 + 3, network_offset=14)
    found.one("net_dev_xmit", name="lo", len=14 + 20 + 8 + 3, rc=0)
    found.one("netif_rx", name="lo", len=20 + 8 + 3)
    found.one("kfree_skb", reason="NO_SOCKET", protocol=0x0800)
    found.one("skb_copy_datagram_iovec", len=5)
    assert found.waiting == set()


def test_memory(provoke):
    with provoke(MEMORY) as found:
        area = mmap.mmap(-1, 64 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        for page in range(5, 64):
            area[page * PAGE + 7] = 1
        # What the processor remembers of pages that are taken away has to be flushed.
        area.madvise(mmap.MADV_DONTNEED)
        shared = mmap.mmap(-1, 3 << 20)
        shared.close()
    faults = {int(str(event.args["address"]), 0) for event in found.all("page_fault_user")}
    assert address + 5 * PAGE + 7 in faults
    found.one("page_fault_user")
    found.one("vm_unmapped_area", length=3 << 20)
    found.one("mm_page_alloc", order=0)
    found.one("rss_stat", member="MM_ANONPAGES")
    found.one("tlb_flush")
    assert found.waiting == set()


def test_others(provoke):
    with provoke(OTHERS) as found:
        parameters = ctypes.create_string_buffer(120)
        ring = LIBC.syscall(425, 8, parameters)
        assert ring >= 0 or ctypes.get_errno() != 0
        if ring >= 0:
            os.close(ring)
        made = ring >= 0
        Path("/dev/kmsg").write_text("<6>tracescope: a [test]\n")
        socket.sethostname(socket.gethostname())
        LIBC.syscall(os_number("getpriority"), 0, 0)
    if made:
        found.one("io_uring_create", fd=ring, sq_entries=8, cq_entries=16)
    found.waiting.discard("io_uring:io_uring_create")
    if found.all("console"):
        assert "tracescope: a [test]" in str(found.one("console").args["msg"])
    found.waiting.discard("printk:console")
    found.one("cap_capable", cap=21, ret=0)
    called = found.one("sys_enter", id=os_number("getpriority"))
    assert called.args["args"][:2] == [0, 0]
    found.one("sys_exit", id=os_number("getpriority"), ret=20 - os.getpriority(os.PRIO_PROCESS, 0))
    found.waiting.discard("percpu:percpu_alloc_percpu")
    assert found.waiting == set()


def os_number(call: str) -> int:
    """The system call's number, from the kernel's own format of its entry event: its raw twin has no names."""
    numbers = {"x86_64": {"getpriority": 140}, "aarch64": {"getpriority": 141}}
    return numbers[os.uname().machine][call]


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def filesystem(path: Path) -> str:
    """The type of the file system that holds a path."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    found = [row for row in mounts if path.is_relative_to(row[1])]
    return max(found, key=lambda row: len(row[1]))[2]

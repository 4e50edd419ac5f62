"""What a kernel's event formats say about meanings: shared by the tests on recorded hosts and on the live one."""

from __future__ import annotations

import re

from tracescope.attach.meaning import field_meaning, meaning_of
from tracescope.attach.meaning.kinds import Device, IpAddress, LinkAddress, Mode, SocketAddress
from tracescope.host import Host
from tracescope.model import EventFormat, Field
from tracescope.sources.print_fmt import split_print_fmt
from tracescope.sources.tracefs import read_formats

X86 = "x86_64"
CONVERSION = re.compile(r"%[-+ #0]*(\*|\d+)?(?:\.(\*|\d*))?(?:hh|h|ll|l|z|L|t)?(p[A-Za-z0-9]*|[a-zA-Z%])")
# lib/vsprintf.c, pointer(): what the kernel prints with each of these.
POINTERS = {"pI4": IpAddress, "pI6c": IpAddress, "pI6": IpAddress, "pISpc": SocketAddress, "pM": LinkAddress}
# Counts, ids, offsets and reserved flags, with nothing to say about the number.
PLAIN_ARGUMENTS = """
alarm.seconds bind.addrlen bpf.size cachestat.flags connect.addrlen copy_file_range.flags epoll_create.size
epoll_pwait.maxevents epoll_pwait.timeout epoll_pwait2.maxevents epoll_wait.maxevents epoll_wait.timeout eventfd.count
eventfd2.count exit.error_code exit_group.error_code futex.val futex_requeue.flags futex_requeue.nr_requeue
futex_requeue.nr_wake futex_wait.mask futex_wait.val futex_waitv.flags futex_waitv.nr_futexes futex_wake.mask
futex_wake.nr get_mempolicy.maxnode getdents.count getdents64.count getgroups.gidsetsize getpriority.who
inotify_rm_watch.wd io_getevents.min_nr io_getevents.nr io_pgetevents.min_nr io_pgetevents.nr io_setup.nr_events
io_submit.nr io_uring_enter.min_complete io_uring_enter.to_submit io_uring_register.nr_args io_uring_setup.entries
ioperm.from ioperm.num ioperm.turn_on iopl.level ioprio_get.who ioprio_set.who kcmp.idx1 kcmp.idx2
kexec_file_load.cmdline_len kexec_load.nr_segments keyctl.arg4 keyctl.arg5 listen.backlog lookup_dcookie.cookie64
lsm_list_modules.flags lsm_set_self_attr.flags lsm_set_self_attr.size mbind.maxnode membarrier.cpu_id
migrate_pages.maxnode modify_ldt.bytecount modify_ldt.func move_pages.nr_pages mq_timedsend.msg_prio mseal.flags
msgctl.msqid msgrcv.msgtyp msgrcv.msqid msgsnd.msqid perf_event_open.cpu pidfd_getfd.flags pkey_alloc.flags
pkey_free.pkey pkey_mprotect.pkey poll.nfds poll.timeout_msecs ppoll.nfds prctl.arg4 preadv.pos_h preadv.pos_l
preadv.vlen preadv2.pos_h preadv2.pos_l preadv2.vlen process_madvise.flags process_mrelease.flags
process_vm_readv.flags process_vm_readv.liovcnt process_vm_readv.riovcnt process_vm_writev.flags
process_vm_writev.liovcnt process_vm_writev.riovcnt pselect6.n pwritev.pos_h pwritev.pos_l pwritev.vlen pwritev2.pos_h
pwritev2.pos_l pwritev2.vlen quotactl.id quotactl_fd.id readlink.bufsiz readlinkat.bufsiz readv.vlen recvmmsg.vlen
remap_file_pages.pgoff rseq.rseq_len sched_getaffinity.len sched_getattr.flags sched_getattr.usize
sched_setaffinity.len sched_setattr.flags select.n semctl.semid semctl.semnum semget.nsems semop.nsops semop.semid
semtimedop.nsops semtimedop.semid sendmmsg.vlen sendto.addr_len set_mempolicy.maxnode set_mempolicy_home_node.flags
set_mempolicy_home_node.home_node setdomainname.len setgroups.gidsetsize sethostname.len setpriority.niceval
setpriority.who setsockopt.optlen shmat.shmid shmctl.shmid socketpair.protocol sysfs.arg1 sysfs.arg2 sysfs.option
syslog.len timer_delete.timer_id timer_getoverrun.timer_id timer_gettime.timer_id timer_settime.timer_id
vmsplice.nr_segs writev.vlen
"""
PLAIN = set(PLAIN_ARGUMENTS.split())

Calls = dict[str, tuple[Field, ...]]


def calls_of(host: Host) -> Calls:
    """The system calls of a host with their arguments."""
    return {
        event.name.removeprefix("sys_enter_"): tuple(
            field for field in event.fields if field.name != "__syscall_nr" and not field.location
        )
        for event in read_formats(host).formats
        if event.group == "syscalls" and event.name.startswith("sys_enter_")
    }


def plain_arguments(calls: Calls) -> set[str]:
    """The arguments that are numbers without meaning."""
    return {
        f"{call}.{field.name}"
        for call, arguments in calls.items()
        for field in arguments
        if meaning_of(call, field.name, field.type, machine=X86) is None
    }


def events_of(host: Host) -> list[EventFormat]:
    """All events but those of system calls."""
    return [event for event in read_formats(host).formats if event.group != "syscalls"]


def printed(event: EventFormat) -> dict[str, str]:
    """The extension of `%p` that each plain field is printed with."""
    text, arguments = split_print_fmt(event.print_fmt)
    kinds = []
    for width, digits, kind in CONVERSION.findall(text):
        kinds += ["*"] * ((width == "*") + (digits == "*")) + ([kind] if kind != "%" else [])
    names = [re.fullmatch(r"\(*REC->(\w+)\)*", argument) for argument in arguments]
    return {name[1]: kind for name, kind in zip(names, kinds, strict=True) if name}


def check_addresses(events: list[EventFormat]) -> int:
    """What the kernel prints as an address is one to us, and nothing else is; how many there were."""
    seen = 0
    for event in events:
        kinds = printed(event)
        for field in event.fields:
            wanted = POINTERS.get(kinds.get(field.name, ""))
            found = field_meaning(event.group, event.name, field.name, field.full_type, machine=X86)
            if wanted and field.array is not None and not field.location:
                assert isinstance(found, wanted), (event.probe, field.name)
                seen += 1
            if isinstance(found, IpAddress | SocketAddress):
                assert kinds[field.name] in POINTERS, (event.probe, field.name)
    return seen


def check_devices(events: list[EventFormat]) -> int:
    """What the kernel splits into major and minor is a device to us, and nothing else is."""
    seen = 0
    for event in events:
        for field in event.fields:
            split = re.search(rf"REC->{field.name}\)+ *>> *20", event.print_fmt)
            found = field_meaning(event.group, event.name, field.name, field.full_type)
            if field.type == "dev_t":
                assert isinstance(found, Device) == bool(split), (event.probe, field.name)
                seen += 1
            else:
                assert not isinstance(found, Device)
    return seen


def check_modes(events: list[EventFormat]) -> int:
    """What is a file's mode to us the kernel prints in octal."""
    seen = 0
    for event in events:
        text, _ = split_print_fmt(event.print_fmt)
        for field in event.fields:
            if isinstance(field_meaning(event.group, event.name, field.name, field.full_type), Mode):
                assert "0%o" in text, event.probe
                seen += 1
    return seen

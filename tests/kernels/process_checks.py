"""Inside the guest: the process monitor, shipped and compiled here, and one workload through every backend."""

from __future__ import annotations

from collections import Counter

from checks import Absent, check
from traced import GUEST, HOST, READS, REFUSED, WRITES, around, trace

from tracescope.attach.backend import Backend, BccBackend
from tracescope.attach.backend_names import BACKENDS
from tracescope.attach.decode.events import event_json
from tracescope.attach.event_session import EventSession
from tracescope.attach.kernel.transport import Transport
from tracescope.attach.monitor import shipped
from tracescope.attach.monitor.monitor import MonitorSession, plan_monitor
from tracescope.attach.plan import Filters
from tracescope.attach.start import look, start_session
from tracescope.processes import ExecEvent, ExecFailed, ExitEvent

# Processes


_SCRIPT = "/bin/busybox true a 'b c'; /no/such/program; /bin/busybox sh -c 'exit 7'; /bin/busybox true &\nwait"


def _monitored(backend: Backend | None = None, transport: Transport = Transport.RING) -> tuple[MonitorSession, object]:
    """The session, and what it said: everything that the script did, and nothing else."""
    session = around(
        ["/bin/sh", "-c", _SCRIPT],
        lambda filters: MonitorSession(
            plan_monitor(HOST, filters, transport=transport), backend=backend, buffer=100_000
        ),
    )
    events = [session.decode(record) for record in session.take()]
    execs = [event for event in events if isinstance(event, ExecEvent)]
    argvs = [list(event.argv or ()) for event in execs]
    assert argvs == [
        ["/bin/sh", "-c", _SCRIPT],
        ["/bin/busybox", "true", "a", "b c"],
        ["/bin/busybox", "sh", "-c", "exit 7"],
        ["/bin/busybox", "true"],
    ], argvs
    failed = [(event.filename, event.errno) for event in events if isinstance(event, ExecFailed)]
    assert failed == [("/no/such/program", "ENOENT")], failed
    ends = {event.pid: event for event in events if isinstance(event, ExitEvent)}
    assert all(event.pid in ends for event in execs)
    codes = [ends[event.pid].exit_code for event in execs]
    assert codes == [0, 0, 7, 0], codes
    assert all(ends[event.pid].lifetime_ns > 0 and ends[event.pid].cpu_ns > 0 for event in execs)
    assert session.counts().lost == 0
    return session, {"events": len(events), "names": Counter(event.name for event in events)}


@check
def the_process_monitor_tells_every_exec_failure_and_end():
    session, told = _monitored(BccBackend())
    assert (session.shipped, session.backend) == (False, "bcc")
    return told


@check
def the_shipped_process_monitor_tells_the_same():
    why = shipped.why_not(plan_monitor(HOST))
    if why:
        raise Absent(f"the shipped object cannot be used: {why}")
    session, told = _monitored()
    # Stays so only when no program of the object was refused.
    assert session.shipped
    return told


@check
def the_process_monitor_tells_the_same_through_the_perf_buffer():
    session, told = _monitored(BccBackend(), Transport.PERF)
    assert not session.shipped
    return told


@check
def a_process_in_a_pid_namespace_has_a_number_of_its_own_there():
    session = around(
        ["/usr/bin/unshare", "--pid", "--fork", "/bin/busybox", "true"],
        lambda filters: MonitorSession(plan_monitor(HOST, filters)),
    )
    execs = [event for event in map(session.decode, session.take()) if isinstance(event, ExecEvent)]
    assert [(event.argv[0], event.ns_pid) for event in execs] == [("/usr/bin/unshare", None), ("/bin/busybox", 1)]
    return {"pid": execs[1].pid, "ns_pid": execs[1].ns_pid}


@check
def an_execve_carries_its_arguments():
    command = ["/bin/sh", "-c", "/bin/busybox true 'x y' z; /bin/busybox false || true"]
    events, _ = trace(["tracepoint:syscalls:sys_enter_execve"], command=command, bare=False)
    argvs = [event.args["argv"] for event in events]
    assert argvs == [command, ["/bin/busybox", "true", "x y", "z"], ["/bin/busybox", "false"]], argvs
    return {"events": len(events)}


# Backends

_EVENTS = (
    "syscalls:sys_enter_openat",
    "syscalls:sys_enter_write",
    "syscalls:sys_exit_read",
    "sched:sched_process_exec",
    "sched:sched_process_exit",
)
_OF_ONE_RUN = ("time", "cpu", "pid", "tid", "ppid")
_NOT_COMPARED = ("pid", "old_pid", "buf", "buf_truncated")
_CANNOT = {"tracefs": {"filename"}}


def _under(name: str) -> list[dict[str, object]]:
    """The workload's events under that backend, as JSON, without what differs from run to run."""
    targets = GUEST.finder.targets([f"tracepoint:{event}" for event in _EVENTS])

    def make(filters: Filters) -> EventSession:
        return start_session(HOST, targets, filters, backend=name, buffer=100_000)

    session = around(GUEST.workload, make)
    assert session.backend == name
    assert not session.failed, session.failed
    assert session.counts().lost == 0
    events = sorted(map(session.decode, session.take()), key=lambda event: event.time_ns)
    found = []
    for event in events:
        shown = {key: value for key, value in event_json(event).items() if key not in _OF_ONE_RUN}
        shown["args"] = {key: value for key, value in shown["args"].items() if key not in _NOT_COMPARED}
        found.append(shown)
    # Until then it is the launcher, which waits for its word.
    return found[next(index for index, one in enumerate(found) if str(one["probe"]).endswith("process_exec")) :]


@check
def the_four_backends_tell_the_same_events():
    missing = {name: why for name in BACKENDS if (why := look(HOST, name).why)}
    if missing:
        raise Absent(f"backends that cannot run here: {missing}")
    wanted = _under("bcc")
    sizes = [event["args"]["count"] for event in wanted if str(event["probe"]).endswith("sys_enter_write")]
    assert sizes == WRITES + REFUSED, sizes
    results = [event["ret"] for event in wanted if str(event["probe"]).endswith("sys_exit_read")]
    assert results == READS, results
    seen = {"bcc": len(wanted)}
    for name in BACKENDS[1:]:
        found = _under(name)
        assert [event["probe"] for event in found] == [event["probe"] for event in wanted], (name, found)
        for event, other in zip(found, wanted, strict=True):
            absent = other["args"].keys() - event["args"].keys()
            assert absent <= _CANNOT.get(name, set()), (name, absent)
            known = {key: value for key, value in other["args"].items() if key not in absent}
            assert event == {**other, "args": known}, (name, event, other)
        seen[name] = len(found)
    return seen


@check
def libbpf_attaches_kprobes_and_fentry_too():
    seen = {}
    for probe in ("kprobe:vfs_write", "kretprobe:vfs_write", "fentry:vmlinux:vfs_write", "fexit:vmlinux:vfs_write"):
        targets = GUEST.finder.targets([probe])

        def make(filters: Filters, targets=targets) -> EventSession:
            return start_session(HOST, targets, filters, backend="libbpf", buffer=100_000)

        session = around(GUEST.workload, make)
        assert not session.failed, session.failed
        events = [session.decode(record) for record in session.take()]
        if "ret" in probe or "exit" in probe:
            assert [event.ret for event in events] == [*WRITES, *[-9] * len(REFUSED)]
        else:
            assert [event.args["count"] for event in events] == WRITES + REFUSED
        seen[probe] = len(events)
    return seen

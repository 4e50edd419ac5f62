"""The readers of `throughput.py` that are programs of Python: a session, BCC's perf buffer, BCC's ring buffer.

Run by it as root: python benchmarks/throughput_readers.py KIND. Prints `ready`, reads until SIGINT, prints `seen N`.
Each takes the process id out of every event: a session by numpy from whole batches, BCC's callbacks one by one.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from importlib.resources import as_file, files

EVENT = "syscalls/sys_enter_getppid"
BCC = """
struct event { u64 time_ns; u32 pid; u32 tid; u32 cpu; u32 unused; char comm[16]; };
%(map)s
int probe(void *ctx)
{
    struct event event = {};
    u64 id = bpf_get_current_pid_tgid();

    event.time_ns = bpf_ktime_get_ns();
    event.pid = id >> 32;
    event.tid = id;
    event.cpu = bpf_get_smp_processor_id();
    bpf_get_current_comm(event.comm, sizeof(event.comm));
    %(send)s;
    return 0;
}
"""
PERF = {"map": "BPF_PERF_OUTPUT(events);", "send": "events.perf_submit(ctx, &event, sizeof(event))"}
RING = {"map": "BPF_RINGBUF_OUTPUT(events, 4096);", "send": "events.ringbuf_output(&event, sizeof(event), 0)"}
PERF_PAGES = 2048
"""A CPU: 16 MiB on two, as much as the rings have."""


def say(text):
    print(text, flush=True)


def read_session(stop):
    """The events of a session, as arrays."""
    from tracescope.attach.open import open_session
    from tracescope.host import LiveHost

    with open_session(LiveHost(), [event_format()], buffer=4_000_000) as session:
        session.wait_running(60)
        say("ready")
        seen = pids = 0
        while True:
            over = stop.is_set()
            for records in session.take_arrays():
                seen += len(records)
                pids += int(records["pid"].sum())
            if over:
                break
            time.sleep(0.02)
        session.stop()
        for records in session.take_arrays():
            seen += len(records)
    counts = session.counts()
    say(f"counted {counts.events} lost {counts.lost} dropped {counts.dropped}")
    return seen


def event_format():
    from tracescope.host import LiveHost
    from tracescope.sources.tracefs import parse_format

    host = LiveHost()
    return parse_format(host.read(f"{host.tracefs}/events/{EVENT}/format"), "syscalls")


def read_bcc(stop, kind):
    """The events that BCC's callbacks got."""
    from tracescope.attach.bcc import find_bcc
    from tracescope.attach.kernel.perf_event import attach_tracepoint

    sys.path.append(os.path.dirname(os.path.dirname(find_bcc().origin)))
    with ExitStack() as stack:
        os.environ["BCC_KERNEL_SOURCE"] = str(stack.enter_context(as_file(files("tracescope.attach") / "shim")))
        from bcc import BPF

        flags = ["-fms-extensions", "-Wno-microsoft-anon-tag", "-DPAGE_SIZE=4096"]
        b = BPF(text=BCC % (PERF if kind == "bcc-perf" else RING), cflags=flags)
        function = b.load_func("probe", BPF.TRACEPOINT)
        seen = pids = 0
        event_of = b["events"].event

        def perf(_cpu, data, _size):
            nonlocal seen, pids
            seen += 1
            pids += event_of(data).pid

        def ring(_ctx, data, _size):
            nonlocal seen, pids
            seen += 1
            pids += event_of(data).pid

        if kind == "bcc-perf":
            b["events"].open_perf_buffer(perf, page_cnt=PERF_PAGES)
            poll = b.perf_buffer_poll
        else:
            b["events"].open_ring_buffer(ring)
            poll = b.ring_buffer_poll
        attached = attach_tracepoint(event_format(), function.fd)
        poll(timeout=1)
        seen = 0
        say("ready")
        while not stop.is_set():
            poll(timeout=100)
        os.close(attached)
        poll(timeout=1)
    return seen


def main():
    if len(sys.argv) < 2:
        say("a part of throughput.py")
        return
    stop = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    kind = sys.argv[1]
    say(f"seen {read_session(stop) if kind == 'tracescope' else read_bcc(stop, kind)}")


if __name__ == "__main__":
    main()

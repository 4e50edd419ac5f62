"""Events in the kernel's own words: equal to its `trace` file over the same buffer, format by format."""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracescope.attach.tracefs.instance import TracefsInstance
from tracescope.host import LiveHost
from tracescope.model import EventFormat
from tracescope.printable import encode
from tracescope.sources.print_lookups import read_lookups
from tracescope.sources.print_words import PrintWords, compile_print_fmt
from tracescope.sources.record import RecordReader, record_reader
from tracescope.sources.tracefs import read_formats

GROUPS = (
    "block", "capability", "exceptions", "ext4", "filemap", "icmp", "ipi", "irq", "irq_vectors", "jbd2", "kmem",
    "mmap", "mmap_lock", "msr", "napi", "net", "pagemap", "percpu", "power", "raw_syscalls", "rcu", "sched", "signal",
    "skb", "sock", "task", "tcp", "timer", "tlb", "workqueue", "writeback",
)  # fmt: skip
ENOUGH = 100
HOST = LiveHost()


def work(folder: Path) -> None:
    """Files, a disk, sockets, signals, processes."""
    file = folder / "words"
    with open(file, "wb") as out:
        out.write(bytes(1 << 20))
        os.fsync(out.fileno())
    file.rename(folder / "other")
    (folder / "other").unlink()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        client.sendall(bytes(5000))
        server.accept()[0].close()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as refused:
        refused.sendto(b"?", ("127.0.0.1", 9))
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    subprocess.run(["sh", "-c", "timeout 0.1 sleep 1; nice true; taskset -c 0 true"], check=False)


def taken(group: str, formats: list[EventFormat], folder: Path) -> Iterator[tuple[bytes, list[bytes]]]:
    """For each CPU the kernel's text and the raw records of one and the same buffer."""
    with TracefsInstance.create(HOST, kilobytes=8192) as instance:
        for option, value in (("hash-ptr", "0"), ("context-info", "0"), ("annotate", "0")):
            Path(f"{instance.path}/options/{option}").write_text(value)
        for one in formats:
            instance.enable(f"{group}:{one.name}")
        instance.start()
        work(folder)
        instance.stop()
        texts = {cpu: Path(f"{instance.path}/per_cpu/cpu{cpu}/trace").read_bytes() for cpu in instance.reader.cpus}
        records: dict[int, list[bytes]] = {cpu: [] for cpu in texts}
        while pages := list(instance.reader.read()):
            for cpu, page in pages:
                records[cpu] += [record for _, record in page.records]
        for cpu, text in texts.items():
            yield b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"#")), records[cpu]


def test_the_words_are_those_of_the_trace_file(tmp_path):
    formats, lookups = read_formats(HOST).formats, read_lookups(HOST)
    made: dict[int, tuple[EventFormat, PrintWords, RecordReader]] = {
        one.id: (one, compile_print_fmt(one, lookups), record_reader(one, common=True))
        for one in formats
        if one.group in GROUPS
    }
    agree, differ, examples = Counter[str](), Counter[str](), dict[str, tuple[bytes, bytes]]()
    for group in GROUPS:
        for text, records in taken(group, [one for one in formats if one.group == group], tmp_path):
            at = 0
            for record in records:
                event, words, read = made[struct.unpack_from("=H", record)[0]]
                ours = encode(f"{event.name}: {words(read(record))}\n")
                if text.startswith(ours, at):
                    agree[event.probe] += 1
                    at += len(ours)
                    continue
                end = text.find(b"\n", at) + 1
                # What only the kernel knows is a hole, and says so.
                if not words.holes or b"?" not in ours:
                    differ[event.probe] += 1
                    examples[event.probe] = (ours, text[at:end])
                at = end
            assert at == len(text)
    assert not differ, examples
    assert len(agree) > ENOUGH, sorted(agree)


def test_attach_prints_the_kernels_words_where_they_are_asked_for():
    command = [sys.executable, "-m", "tracescope", "attach", "tracepoint:sched:sched_process_exec", "--json"]
    for more, wanted in ((["--words"], True), ([], False)):
        done = subprocess.run(
            [*command, *more, "--", "/bin/true"], capture_output=True, text=True, check=True, timeout=60
        )
        (event,) = map(json.loads, done.stdout.splitlines())
        assert ("words" in event) is wanted
        if wanted:
            assert event["words"] == f"filename=/bin/true pid={event['pid']} old_pid={event['pid']}"


@pytest.mark.parametrize("probe", ["tracepoint:syscalls:sys_enter_kill", "rawtracepoint:sched_process_exec"])
def test_only_tracepoints_have_words(probe: str):
    command = [sys.executable, "-m", "tracescope", "attach", probe, "--json", "--words"]
    done = subprocess.run(
        [*command, "--", "sh", "-c", "kill -0 $$; exec true"], capture_output=True, text=True, check=True, timeout=60
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events
    for event in events:
        if probe.startswith("raw"):
            assert "words" not in event
        else:
            assert event["words"] == f"pid: 0x{event['pid']:08x}, sig: 0x00000000"

"""What the process table costs: a million events of a busy host. Run: python benchmarks/processes.py [EVENTS] [FOLDER].

The stream: an app that keeps starting a burner that fails, a build (shell → make → cc with PATH walks), a prefork
server, a crash-looping service. Measured: `replay --processes` of a recording; a summary; events alone.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from statistics import median

from tracescope.processes import (
    ExecEvent,
    ExecFailed,
    ExitEvent,
    ForkEvent,
    ProcessEvent,
    ProcessTable,
    event_json_line,
    events_from_json,
    events_from_lines,
    summarize,
    summary_line,
)
from tracescope.recording import Recorder, open_recording

BEGIN = 1_800_000_000_000_000_000
STEP = 300_000
MAIN = "import sys; from tracescope.cli.main import main; sys.exit(main())"


def one(number: int) -> Iterator[ProcessEvent]:
    """The events of one process, as a busy host has them."""
    kind = number % 10
    at = BEGIN + number * STEP
    pid, start = 1000 + number % 30_000, number * STEP + 5
    parent, name = ((812, "app"), (900, "make"), (950, "httpd"), (1, "systemd"))[(0, 0, 0, 0, 1, 1, 1, 2, 2, 3)[kind]]
    common = {"pid": pid, "tid": pid, "ppid": parent, "uid": 1000, "start_ns": start, "cgroup_id": 7 + kind}
    yield ForkEvent(time_ns=at, comm=name, **common)
    if name != "httpd":
        path = {"app": "/usr/bin/stress", "make": f"/usr/bin/cc{number % 7}", "systemd": "/opt/service"}[name]
        argv = (path, "-c", "1", f"--timeout={number % 3 if name == 'app' else number}")
        walk = range(3) if name == "make" else range(0)
        for place in walk:
            yield ExecFailed(
                time_ns=at + 10_000 + place,
                comm=name,
                filename=f"/opt/{place}/cc{number % 7}",
                argv=argv,
                ret=-2,
                errno="ENOENT",
                duration_ns=9000,
                **common,
            )
        yield ExecEvent(
            time_ns=at + 50_000,
            comm=path[-15:],
            comm_before=name,
            filename=path,
            argv=argv,
            argv_truncated=False,
            argv_size=60,
            ret=0,
            duration_ns=200_000,
            **common,
        )
    code = 1 if name in ("app", "systemd") else 0
    yield ExitEvent(
        time_ns=at + 11_000_000,
        comm=name,
        lifetime_ns=11_000_000,
        exit_code=code,
        signal=0,
        core=False,
        cpu_ns=500_000,
        user_ns=400_000,
        system_ns=100_000,
        **common,
    )


def stream(count: int) -> Iterator[ProcessEvent]:
    """So many events, the exits a few processes later."""
    late: list[ProcessEvent] = []

    def events() -> Iterator[ProcessEvent]:
        number = 0
        while True:
            *begin, end = one(number)
            yield from begin
            late.append(end)
            if number > 36:
                yield late.pop(0)
            number += 1

    return islice(events(), count)


def replay(path: Path, count: int) -> None:
    """Run `tracescope replay --processes` on a recording: read, decoded, added, summed up and printed."""
    command = [sys.executable, "-c", MAIN, "replay", "--processes", str(path)]
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    spent = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{'replay --processes':28}{count:10,} events{spent:8.2f} s {used.ru_utime + used.ru_stime:8.2f} s of CPU,"
        f" {used.ru_maxrss / 1024:.0f} MB at most"
    )


def main() -> None:
    """Print one line a measurement."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory(dir=sys.argv[2] if len(sys.argv) > 2 else None) as folder:
        path = Path(folder) / "events"
        start = time.perf_counter()
        with Recorder(path, kind="exec") as recorder:
            for event in stream(count):
                recorder.write(event_json_line(event))
            recorder.close(0)
        spent = time.perf_counter() - start
        print(f"{'made and recorded':28}{count:10,} events{spent:8.2f} s {path.stat().st_size / 1e6:8.0f} MB file")
        replay(path, count)
        table = ProcessTable(ncpus=2, begin_ns=BEGIN)
        for events, rows in open_recording(path).decoded(events_from_lines):
            for event in (*events, *events_from_json(rows)[0]):
                table.add(event)
    times = []
    for _ in range(7):
        start = time.perf_counter()
        summary = summarize(table)
        times.append(time.perf_counter() - start)
    # The longest may hold a full garbage collection over all that is kept.
    print(f"{'summary':28}{len(table):10,} kept  {median(times) * 1000:8.2f} ms, {max(times) * 1000:.0f} ms at most")
    print(summary_line(summary))
    events = list(stream(min(count, 200_000)))
    table = ProcessTable(ncpus=2, begin_ns=BEGIN)
    start = time.perf_counter()
    for event in events:
        table.add(event)
    spent = time.perf_counter() - start
    print(f"{'added alone':28}{len(events):10,} events{spent:8.2f} s {spent / len(events) * 1e6:8.2f} µs each")


if __name__ == "__main__":
    main()

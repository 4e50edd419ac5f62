"""Inside the guest: what is exported as bpftrace, BCC and libbpf tells what TraceScope's own session does."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from checks import EXPECTED, NAME_OF_FILE, check
from exported import python_with_bcc, running, unquoted, values
from exports_built import COMM, SELECTIONS
from traced import GUEST, HOST, NAME, bpftrace_knows

from tracescope.attach.ask.asked import Asked
from tracescope.attach.ask.options import AttachOptions
from tracescope.attach.borrowed.bpftrace import types_for_bpftrace
from tracescope.attach.open import open_plan
from tracescope.attach.plan import Filters
from tracescope.attach.session import Session
from tracescope.export.make import export_files, open_tracer, write_files

__all__ = ("EXPORT_CHECKS",)

_SECONDS = 600
_FILTERS = Filters(comm=(COMM,))

Told = list[tuple[str, str, int]]
"""Function, file name and size of each event."""


def _exported(kind: str, folder: Path) -> tuple[Path, Path, Path]:
    """The bpftrace script, the BCC program, and the libbpf program that was built before the boot."""
    tracer = open_tracer(HOST, SELECTIONS[kind], AttachOptions(_FILTERS, show=(NAME_OF_FILE,)), GUEST.catalog)
    (script,) = write_files(folder, export_files(HOST, tracer, "bpftrace"))
    (python,) = write_files(folder, export_files(HOST, tracer, "bcc"))
    (source,) = (GUEST.folder / "exports" / kind / "libbpf").glob("*.bpf.c")
    return script, python, source.parent / source.name.removesuffix(".bpf.c")


def _told(out: str, quoted: bool) -> Told:
    """What an exported tracer printed about the workload's file; bpftrace quotes nothing."""
    told = []
    for line in out.splitlines():
        found, known = re.search(r" (?:k?probe|kfunc|fentry):(?:vmlinux:)?(vfs_\w+)", line), values(line)
        name = known.get("show0", known.get(NAME_OF_FILE, ""))
        if found and (unquoted(name) if quoted else name) == NAME:
            told.append((found[1], NAME, int(known["count"])))
    return told


def _own(session: Session) -> Told:
    events = map(session.decode, session.take())
    return [
        (event.probe.rpartition(":")[2], NAME, event.args["count"])
        for event in events
        if event.args[NAME_OF_FILE] == NAME
    ]


def _run_workload(script: Path | None) -> Told | None:
    """Under bpftrace with a script, and what that said; without one alone, and None."""
    if script is None:
        subprocess.run(GUEST.workload, check=True, timeout=_SECONDS)
        return None
    line = ["bpftrace", "-c", " ".join(GUEST.workload), str(script)]
    known = {**os.environ, **types_for_bpftrace(HOST)}
    ran = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=_SECONDS, env=known)
    assert ran.returncode == 0, ran.stderr
    return _told(ran.stdout, quoted=False)


def _three_say_the_same(kind: str) -> dict[str, object]:
    """bpftrace is left out where it refuses what the script asks for: then it is two."""
    with_bpftrace = all(map(bpftrace_knows, SELECTIONS[kind]))
    targets = GUEST.finder.targets(SELECTIONS[kind])
    plan = open_plan(HOST, targets, _FILTERS, asked=Asked("", (NAME_OF_FILE,)), types=GUEST.types)
    with tempfile.TemporaryDirectory() as folder, Session(plan, buffer=100_000) as session:
        script, python, native = _exported(kind, Path(folder))
        commands = [python_with_bcc() or "", "-I", str(python)], [str(native)]
        with running(*commands, seconds=_SECONDS) as tracers:
            session.wait_running(_SECONDS)
            by_bpftrace = _run_workload(script if with_bpftrace else None)
            by_bcc, by_libbpf = (_told(tracer.stop(), quoted=True) for tracer in tracers)
        session.stop()
        assert session.counts().lost == 0
        own = _own(session)
    assert sorted(own) == sorted((function, NAME, size) for function, sizes in EXPECTED.items() for size in sizes), own
    assert by_libbpf == own, by_libbpf
    assert by_bcc == own, by_bcc
    assert by_bpftrace == (own if with_bpftrace else None), by_bpftrace
    return {"events": len(own), "bpftrace": with_bpftrace}


@check
def exports_of_kprobes_say_what_the_session_does():
    return _three_say_the_same("kprobe")


@check
def exports_of_fentry_say_what_the_session_does():
    return _three_say_the_same("fentry")


EXPORT_CHECKS = (
    exports_of_kprobes_say_what_the_session_does.__name__,
    exports_of_fentry_say_what_the_session_does.__name__,
)

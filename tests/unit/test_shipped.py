"""The process monitor that is shipped compiled: made of the source that is here, it takes what a plan asks for."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from formats import EXEC_FORMATS, EXECVEAT, event_format

from tracescope.attach.kernel.loading import Loaded
from tracescope.attach.libbpf.compile import FLAGS, find_clang
from tracescope.attach.libbpf.library import missing_library
from tracescope.attach.monitor import monitor, shipped
from tracescope.attach.monitor.monitor import MonitorSession
from tracescope.attach.monitor.plan import OFFSETS, MonitorPlan, monitor_plan
from tracescope.attach.monitor.shipped import OBJECT, SETTINGS, Filter, choices, record, settings, shipped_text, why_not
from tracescope.attach.plan import NO_FILTERS, Cgroup, Filters, Namespace
from tracescope.errors import AttachError, Refused

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "tracescope" / "attach" / "monitor" / OBJECT
FORMATS = {
    "syscalls:sys_enter_execve": EXEC_FORMATS[0],
    "syscalls:sys_enter_execveat": EXECVEAT,
    "syscalls:sys_exit_execve": event_format(
        "sys_exit_execve", "\tfield:long ret;\toffset:16;\tsize:8;\tsigned:1;\n", group="syscalls"
    ),
}
MANY = Filters(
    pid=(1, 2, 2), tree=(3,), uid=(0,), comm=("sh", "a name of more than 15 bytes"), cgroup=(Cgroup(77, 2),), tid=(4,),
    namespace=(Namespace(7, (8, 16, 24)), Namespace(9, (8, 16, 24))), but_not=(5,),
)  # fmt: skip
needs_library = pytest.mark.skipif(missing_library() is not None, reason="no libbpf here")


def made(filters: Filters = NO_FILTERS, *, strict: bool = False, failed_only: bool = False) -> MonitorPlan:
    offsets = {name: 8 * number for number, name in enumerate(OFFSETS)}
    return monitor_plan(offsets, FORMATS, filters, strict=strict, failed_only=failed_only)


def section(data: bytes, name: str) -> bytes:
    return bytes(ELFFile(BytesIO(data)).get_section_by_name(name).data())


# The object


def test_the_object_is_made_of_the_source_that_is_here():
    digest = hashlib.sha256(shipped_text().encode("ascii")).hexdigest()
    assert record()["source"] == digest, "monitor.c or what stands before it has changed: run script/build-bpf"
    assert record()["flags"] == list(FLAGS)


def test_the_object_is_what_the_source_compiles_to(tmp_path: Path):
    clang = find_clang()
    if clang is None:
        pytest.skip("no clang here")
    command = [sys.executable, str(ROOT / "script" / "build-bpf"), "-o", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if "llvm-strip is not there" in done.stderr:
        pytest.skip("no llvm-strip here")
    assert done.returncode == 0, done.stderr
    ours, theirs = (tmp_path / OBJECT).read_bytes(), SHIPPED.read_bytes()
    assert section(ours, ".maps") == section(theirs, ".maps")
    shown = subprocess.run([clang, "--version"], capture_output=True, text=True, check=True).stdout
    if f"version {record()['clang'].partition('.')[0]}." in shown:
        # Another clang makes other instructions of the same text.
        assert section(ours, "tracescope") == section(theirs, "tracescope")
        assert section(ours, ".reltracescope") == section(theirs, ".reltracescope")


def test_its_settings_have_the_size_that_is_written():
    assert len(section(SHIPPED.read_bytes(), ".rodata")) == SETTINGS.size


def test_it_holds_no_path_of_the_machine_that_built_it():
    data = SHIPPED.read_bytes()
    assert b"/tmp" not in data
    assert str(ROOT).encode() not in data
    assert not [one.name for one in ELFFile(BytesIO(data)).iter_sections() if one.name.startswith(".debug")]


# What it is given


def test_modes_filters_and_offsets_are_numbers_in_its_settings():
    plan = made(MANY, strict=True)
    strict, execs, life, dead, bits, steps, *numbers = SETTINGS.unpack(settings(plan))
    assert (strict, execs, life, dead, steps) == (1, 1, 0, 0, 3)
    assert bits == sum(Filter)
    assert numbers[:8] == [8, 16, 24, 0, 0, 0, 0, 0]
    assert (numbers[8], numbers[16]) == (2, 77)
    assert numbers[24:] == [8 * number for number in range(len(OFFSETS))]
    _, execs, life, *_ = SETTINGS.unpack(settings(made(failed_only=True)))
    assert (execs, life) == (0, 0)


def test_every_value_that_is_let_through_is_one_key():
    found = list(choices(MANY))
    assert len(found) == len(set(found)) == 9
    assert all(len(key) == 24 for key in found)


@pytest.mark.parametrize(
    ("modes", "filters", "programs"),
    [
        ({}, NO_FILTERS, {"raw_switch", "raw_exit", "raw_exec", "raw_fork"}),
        ({"strict": True}, NO_FILTERS, set()),
        ({"failed_only": True}, Filters(tree=(1,)), {"raw_exit", "raw_exec", "raw_fork"}),
    ],
)
def test_only_what_hangs_on_something_is_loaded(modes: dict[str, bool], filters: Filters, programs: set[str]):
    calls = {"sys_enter_execve", "sys_enter_execveat", "sys_exit"}
    assert set(made(filters, **modes).programs) == calls | programs


@needs_library
def test_what_it_has_no_room_for_is_compiled():
    assert why_not(made(MANY)) == ""
    assert "too many values" in why_not(made(Filters(pid=tuple(range(2000)))))
    assert "too many values" in why_not(made(Filters(cgroup=tuple(Cgroup(n, 1) for n in range(9)))))
    assert "another way" in why_not(made(Filters(namespace=(Namespace(1, tuple(range(9))),))))
    moved = event_format("sys_exit_execve", "\tfield:long ret;\toffset:24;\tsize:8;\tsigned:1;\n", group="syscalls")
    assert "laid out in another way" in why_not(replace(made(), calls=(moved,)))


class Compiler:
    """A backend that compiles, or says that there is none."""

    def __init__(self, loaded: Loaded | None) -> None:
        self.loaded = loaded
        self.texts: list[str] = []

    def load(self, text: str, kinds: object) -> Loaded:
        self.texts.append(text)
        if self.loaded is None:
            raise Refused("nothing here can compile BPF")
        return self.loaded


@needs_library
def test_an_object_that_the_kernel_refuses_is_compiled_and_without_a_compiler_its_refusal_is_shown(
    monkeypatch: pytest.MonkeyPatch,
):
    def refuse(_plan: MonitorPlan) -> Loaded:
        raise AttachError("the program could not be linked", "for this test")

    monkeypatch.setattr(shipped, "load", refuse)
    session = MonitorSession(made())
    assert session.shipped
    session._backend = Compiler(Loaded())
    session._load()
    assert not session.shipped
    assert session._backend.texts == [session.program_text]
    session = MonitorSession(made())
    session._backend = Compiler(None)
    with pytest.raises(AttachError, match="could not be linked"):
        session._load()


def test_a_backend_that_is_asked_for_gets_the_text():
    backend = Compiler(Loaded())
    session = monitor.MonitorSession(made(), backend=backend)
    assert not session.shipped
    session._load()
    assert backend.texts == [session.program_text]

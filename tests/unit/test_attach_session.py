"""The session's life without a kernel, the compiler's answers, and what is found in /proc."""

from __future__ import annotations

import struct
import threading

import pytest
from formats import OPENAT

from tracescope.attach import bcc
from tracescope.attach.backend import BccBackend, Loaded, with_maps
from tracescope.attach.kernel.tree import threads_below
from tracescope.attach.plan import plan
from tracescope.attach.session import Session, SessionState
from tracescope.errors import AttachError, Refused
from tracescope.host import SnapshotHost


class Failing:
    def __init__(self, error):
        self.error = error

    def load(self, text, _kinds):
        raise self.error


@pytest.mark.parametrize("error", [Refused("no"), AttachError("no"), OSError(22, "no"), KeyError("no")])
def test_whatever_the_backend_raises_ends_the_session_and_reaches_the_caller(error):
    session = Session(plan([OPENAT]), backend=Failing(error))
    session.start()
    with pytest.raises((AttachError, Refused), match=r"^(no|the session broke)"):
        session.wait_running(10)
    session.stop()
    assert session.state is SessionState.FAILED
    assert session.counts().events == 0
    assert session.take() == []


def test_a_session_that_is_stopped_while_it_loads_attaches_nothing():
    loading, go = threading.Event(), threading.Event()

    class Slow:
        def load(self, text, _kinds):
            loading.set()
            go.wait(10)
            return Loaded()

    session = Session(plan([OPENAT]), backend=Slow())
    session.start()
    assert loading.wait(10)
    assert session.state is SessionState.LOAD
    with pytest.raises(AttachError, match="does not run yet"):
        session.wait_running(0.01)
    session._stop.set()
    go.set()
    session.stop()
    assert session.state is SessionState.ENDED
    assert SessionState.ATTACH not in session.timings


def test_a_session_that_never_started_can_be_stopped():
    Session(plan([OPENAT])).stop()


def test_map_numbers_in_the_code_become_descriptors():
    load = struct.pack("=BBhiQ", 0x18, 0x11, 0, 5, 0)
    constant = struct.pack("=BBhiQ", 0x18, 0x01, 0, 5, 0)
    other = struct.pack("=BBhi", 0xB7, 0x11, 0, 5)
    assert with_maps(load + other + constant, {5: 42}) == struct.pack("=BBhiQ", 0x18, 0x11, 0, 42, 0) + other + constant


def package(folder, *modules):
    (folder / "bcc").mkdir(parents=True)
    for module in modules:
        (folder / "bcc" / module).write_text("")


def test_a_package_of_the_same_name_without_libbcc_is_not_bcc(tmp_path, monkeypatch):
    package(tmp_path / "other", "__init__.py", "lattice.py")
    package(tmp_path / "real", "__init__.py", "libbcc.py")
    monkeypatch.setattr(bcc, "_PLACES", (str(tmp_path / "other"), str(tmp_path / "none")))
    assert bcc.find_bcc() is None
    monkeypatch.setattr(bcc, "_PLACES", (str(tmp_path / "other"), str(tmp_path / "real")))
    spec = bcc.find_bcc()
    assert spec is not None
    assert spec.origin == str(tmp_path / "real" / "bcc" / "__init__.py")


def test_without_bcc_the_refusal_names_the_package(tmp_path, monkeypatch):
    fake = tmp_path / "python"
    fake.write_text(f"#!/bin/sh\ncat > /dev/null\nexit {bcc.MISSING}\n")
    fake.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(fake))
    with pytest.raises(Refused) as caught:
        BccBackend().compile("")
    assert caught.value.fix == "apt-get install python3-bpfcc"


def test_threads_of_a_process_and_all_below_it(tmp_path):
    for pid, parent, threads in (
        (1, 0, ()),
        (10, 1, (11,)),
        (20, 10, (21, 22)),
        (30, 20, ()),
        (40, 1, ()),
        (50, 40, ()),
    ):
        for thread in (pid, *threads):
            (tmp_path / f"proc/{pid}/task/{thread}").mkdir(parents=True)
        (tmp_path / f"proc/{pid}/stat").write_text(f"{pid} (odd ) name) S {parent} 1 1")
    (tmp_path / "proc/60").mkdir()
    (tmp_path / "proc/version").write_text("")
    host = SnapshotHost(tmp_path)
    assert threads_below(host, [10]) == {10, 11, 20, 21, 22, 30}
    assert threads_below(host, [40, 999]) == {40, 50}

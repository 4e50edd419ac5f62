"""What loads our own programs, by what a host has and what is asked for: counting, and the process monitor."""

from __future__ import annotations

import pytest

from tracescope.attach import start
from tracescope.attach.backend import BccBackend
from tracescope.attach.choice import Backend
from tracescope.attach.libbpf import backend as libbpf
from tracescope.attach.libbpf.backend import LibbpfBackend
from tracescope.errors import Refused
from tracescope.host import LiveHost

HOST = LiveHost()
NO_LIBRARY = Refused("libbpf cannot be used", "libbpf.so.1 is not installed", "apt-get install libbpf1")


@pytest.fixture
def host_has(monkeypatch):
    """Say what there is: `bcc`, `clang`, `library`."""

    def has(*there: str) -> None:
        missing = None if "library" in there else NO_LIBRARY
        found = {"bcc": "bcc" in there, "libbpf": {"clang", "library"} <= {*there}, "bpftrace": True, "tracefs": True}
        monkeypatch.setattr(libbpf, "missing_library", lambda: missing)
        monkeypatch.setattr(start, "check_kernel", lambda: None)
        monkeypatch.setattr(
            start, "look", lambda _, name: Backend(name, "found") if found[name] else Backend(name, why="missing")
        )

    return has


@pytest.mark.parametrize(
    ("there", "asked", "wanted"),
    [
        # None: the object of the package, else BCC.
        (("bcc", "library"), "auto", type(None)),
        (("bcc",), "auto", type(None)),
        (("library",), "auto", LibbpfBackend),
        (("library",), "libbpf", LibbpfBackend),
        (("bcc", "library"), "bcc", BccBackend),
    ],
)
def test_what_the_process_monitor_runs_on(host_has, there, asked, wanted):
    host_has(*there)
    assert isinstance(start.own_backend(HOST, "monitor", asked), wanted)


def test_without_both_the_monitor_says_what_works(host_has):
    host_has()
    with pytest.raises(Refused, match="until then tracescope attach 'tracepoint:syscalls:sys_") as caught:
        start.own_backend(HOST, "monitor")
    assert caught.value.why == "bcc: missing; libbpf: missing"


@pytest.mark.parametrize("feature", ["monitor", "counting"])
@pytest.mark.parametrize("name", ["bpftrace", "tracefs"])
def test_a_setting_that_cannot_be_kept_is_refused_with_the_reason(host_has, feature, name):
    host_has("bcc", "library", "clang")
    with pytest.raises(Refused, match=f"{name} cannot do this") as caught:
        start.own_backend(HOST, feature, name)
    assert caught.value.fix == "backend bcc or libbpf (--backend, or the setting)"


@pytest.mark.parametrize(
    ("there", "wanted"), [(("bcc",), BccBackend), (("clang", "library"), LibbpfBackend), ((), type(None))]
)
def test_counting_takes_the_first_that_is_there(host_has, there, wanted):
    host_has(*there)
    assert isinstance(start.own_backend(HOST, "counting"), wanted)

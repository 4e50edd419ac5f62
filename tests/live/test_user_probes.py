"""Functions and USDT probes of programs: exact counts, arguments and results are what the program did."""

from __future__ import annotations

import json
import sys

import pytest
from attached import HOST, decoded

from tracescope.attach.launch import launch
from tracescope.attach.open import open_session
from tracescope.attach.plan import Filters
from tracescope.attach.targets.find import find_targets
from tracescope.cli.main import main
from tracescope.errors import Missing, Refused

TIMES = 1000


def run(names, command, *, pair=False):
    """The events, and the session's counts."""
    child = launch(command)
    try:
        session = open_session(HOST, find_targets(HOST, names, pair=pair), Filters(tree=(child.pid,)), buffer=1_000_000)
        with session:
            session.wait_running(120)
            child.release()
            child.wait()
            session.stop()
            assert session.failed == []
            return decoded(session), session.counts()
    finally:
        child.abandon()


@pytest.fixture(autouse=True)
def quiet(capfd):
    """The program prints a sum."""


def test_a_function_and_its_return_are_counted_exactly(program):
    names = [f"uprobe:{program}:twice", f"uretprobe:{program}:twice"]
    found, counts = run(names, [program, str(TIMES)])
    entries = [event for event in found if event.probe == names[0]]
    assert [(event.args["arg0"], event.args["arg1"]) for event in entries] == [(i, 100 + i) for i in range(TIMES)]
    assert [event.ret for event in found if event.probe == names[1]] == [2 * i + 100 + i for i in range(TIMES)]
    assert (counts.events, counts.lost) == (2 * TIMES, 0)


def test_entry_and_return_are_one_event_with_its_duration(program):
    found, _ = run([f"uprobe:{program}:twice"], [program, "50"], pair=True)
    assert [(event.args["arg0"], event.ret) for event in found] == [(i, 2 * i + 100 + i) for i in range(50)]
    assert all(event.duration_ns > 0 for event in found)


def test_sites_of_one_usdt_probe_keep_their_arguments_apart(program):
    found, counts = run([f"usdt:{program}:test:both"], [program, "100"])
    expected = [row for i in range(100) for row in ((-i, 1000 + i, 77), (-i, 2000 + i, 78))]
    assert [tuple(event.args.values()) for event in found] == expected
    assert counts.lost == 0


def test_a_semaphore_is_raised_while_its_probe_is_attached(program):
    found, _ = run([f"usdt:{program}:test:counted"], [program, "20"])
    assert [event.args["arg0"] for event in found] == list(range(20))
    nothing, _ = run([f"uprobe:{program}:counted"], [program, "20"])
    assert nothing == []


def test_many_functions_of_a_file_run_one_program(program):
    targets = find_targets(HOST, [f"uprobe:{program}:*"])
    names = {target.probe.rpartition(":")[2] for target in targets}
    assert {"registers", "memory", "twice", "main"} <= names
    found, counts = run([f"uprobe:{program}:[rmt]e*", f"uprobe:{program}:twice"], [program, "30"])
    seen = {name: sum(event.probe.endswith(f":{name}") for event in found) for name in ("registers", "memory", "twice")}
    assert seen == {"registers": 30, "memory": 30, "twice": 30}
    assert counts.lost == 0


def test_the_c_library_by_its_short_name():
    source = "import ctypes; libc = ctypes.CDLL(None); libc.malloc.restype = ctypes.c_void_p; libc.malloc(123457)"
    found, _ = run(["uprobe:libc:malloc", "uretprobe:libc:malloc"], [sys.executable, "-I", "-S", "-c", source])
    asked = [at for at, event in enumerate(found) if event.args.get("arg0") == 123457]
    assert len(asked) == 1
    assert found[asked[0] + 1].ret != 0
    lookup = "import socket; socket.getaddrinfo('127.0.0.1', 80)"
    (call,), _ = run(["uprobe:libc:getaddrinfo"], [sys.executable, "-I", "-S", "-c", lookup])
    assert call.args["arg0"] != 0


def test_what_is_not_there_is_refused_with_the_near_names(program):
    with pytest.raises(Missing) as error:
        find_targets(HOST, [f"uprobe:{program}:twic"])
    assert "twice" in error.value.fix
    with pytest.raises(Missing, match="there is no USDT probe"):
        find_targets(HOST, [f"usdt:{program}:test:none"])
    with pytest.raises(Missing, match="no program or library"):
        find_targets(HOST, ["uprobe:no-such-library-at-all:f"])
    with pytest.raises(Refused, match="no full name"):
        find_targets(HOST, ["uprobe:malloc"])


def test_list_shows_a_files_functions_and_usdt_probes(program, capfd):
    def listed(*words):
        capfd.readouterr()
        assert main(["list", *words]) == 0
        return capfd.readouterr().out.splitlines()

    assert listed(f"u:{program}:twi*") == [f"uprobe:{program}:twice"]
    assert listed(f"usdt:{program}:*") == [f"usdt:{program}:test:both", f"usdt:{program}:test:counted"]
    assert listed(f"usdt:{program}:counted", "-v") == [f"usdt:{program}:test:counted", "    s32 arg0"]
    (row,) = map(json.loads, listed(f"uprobe:{program}:twice", "--json"))
    assert (row["probe"], row["group"], row["name"]) == (f"uprobe:{program}:twice", program, "twice")
    assert main(["list", "usdt:*"]) == 1
    assert "usdt:FILE:*:*" in capfd.readouterr().err

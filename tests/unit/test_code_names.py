"""Names of code in processes, for samples: looked at while the process lives, given when it is gone."""

from __future__ import annotations

import struct
from contextlib import ExitStack

import pytest

from tracescope.attach.decode.symbol_words import as_code
from tracescope.attach.record.layout import HEADER
from tracescope.attach.ring import Batch
from tracescope.attach.symbols import code
from tracescope.attach.symbols.code import CodeNames
from tracescope.errors import Missing

MAPS = b"5000-6000 r-xp 00001000 08:01 99 /opt/no such/pro\\012gram\n6000-7000 rw-p 00002000 08:01 99 /opt/data\n"


class Host:
    """Processes by id, with what they have mapped."""

    def __init__(self, *pids: int) -> None:
        self.pids = list(pids)
        self.asked: list[str] = []

    def names(self, _path: str) -> list[str]:
        return [*map(str, self.pids), "self", "meminfo"]

    def read(self, path: str) -> bytes:
        self.asked.append(path)
        if int(path.split("/")[2]) in self.pids:
            return MAPS
        raise Missing("it is gone", path)


@pytest.fixture(autouse=True)
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernel tells what is mapped."""

    class Silent:
        def __init__(self, _mappings: object) -> None: ...
        def __enter__(self):
            return self

        def __exit__(self, *_: object) -> None: ...
        def read(self) -> None: ...

    monkeypatch.setattr(code, "MapEvents", Silent)


def record(probe: int, pid: int) -> bytes:
    return HEADER.pack(1, 0, probe, pid, pid, 1, 0, b"x")


def test_what_ran_before_is_named_when_it_is_gone():
    host = Host(7, 8)
    names = CodeNames(host, [0])  # type: ignore[arg-type]
    with ExitStack() as undo:
        names.open(undo)
        host.pids = []
        assert names.name(7, 0x5010) == "[pro\ngram]+0x1010"
        # Data is no code, and of what was never there nobody knows anything.
        assert names.name(7, 0x6010) is None
        assert names.name(9, 0x5010) is None


def test_only_the_processes_of_the_filter_and_of_samples_are_looked_at():
    host = Host(7, 8, 9, 10)
    names = CodeNames(host, [1])  # type: ignore[arg-type]
    with ExitStack() as undo:
        names.open(undo, (7,))
        assert host.asked == ["/proc/7/maps"]
        spans = [(at * HEADER.size, (at + 1) * HEADER.size) for at in range(4)]
        data = record(0, 9) + record(1, 8) + record(1, 8) + record(1, 7)
        names.see(Batch(data, 4, spans=spans))
        assert host.asked == ["/proc/7/maps", "/proc/8/maps"]


def test_many_processes_do_not_keep_the_samples_waiting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(code, "_LOOK_SECONDS", -1.0)
    host = Host(7, 8)
    names = CodeNames(host, [0])  # type: ignore[arg-type]
    with ExitStack() as undo:
        names.open(undo)
        assert host.asked == []
        names.see(Batch(record(0, 7), 1, spans=[(0, HEADER.size)]))
        assert names.name(7, 0x5010)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("vfs_read+0x10", "vfs_read+0x10"), ("0x5010", "7:0x5010"), ("0x1", "0x1"), (None, None)],
)
def test_the_kernels_name_comes_first_and_an_address_stays_where_nothing_is_known(value, shown):
    named = as_code(lambda _: value, lambda pid, address: f"{pid}:{address:#x}" if address > 1 else None)
    assert named(record(0, 7)) == shown
    assert struct.unpack_from("=I", record(0, 7), 16) == (7,)

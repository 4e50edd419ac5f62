"""A session run from the command line: what an interrupt does to it."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from typing import Self

import pytest

from tracescope.attach.life import Counts
from tracescope.cli import session
from tracescope.cli.session import Sink, trace


class Records:
    """A session with some records, as `trace` uses one."""

    def __init__(self, records: list[bytes], rest: list[bytes]) -> None:
        self.waiting, self.rest = records, rest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.waiting += self.rest

    def wait_running(self, timeout: float) -> None:
        pass

    def take(self, limit: int | None = None) -> list[bytes]:
        taken, self.waiting[:] = self.waiting[:limit], self.waiting[limit or len(self.waiting) :]
        return taken

    def decode(self, record: bytes) -> bytes:
        return record

    def counts(self) -> Counts:
        return Counts(0, 0, 0, ())


class Interrupted(Sink[bytes]):
    """Sends itself a signal at some of the events."""

    def __init__(self, number: int, at: set[bytes]) -> None:
        self.number, self.at = number, at
        self.shown: list[bytes] = []
        self.over = False

    def show(self, events: Sequence[bytes]) -> int:
        for event in events:
            self.shown.append(event)
            if event in self.at:
                os.kill(os.getpid(), self.number)
        return len(events)

    def end(self, lost: int) -> None:
        self.over = True


LIMITS = argparse.Namespace(duration=None, count=None)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_out_nothing_that_was_taken_and_nothing_that_is_still_to_come(number: int) -> None:
    sink = Interrupted(number, {b"2"})
    session = Records([b"1", b"2", b"3", b"4"], [b"5"])
    assert trace(session, None, LIMITS, sink) == 130  # type: ignore[arg-type]
    assert sink.shown == [b"1", b"2", b"3", b"4", b"5"]
    assert sink.over


def test_the_second_interrupt_does_not_wait() -> None:
    sink = Interrupted(signal.SIGINT, {b"2", b"3"})
    session = Records([b"1", b"2", b"3", b"4"], [b"5"])
    assert trace(session, None, LIMITS, sink) == 130  # type: ignore[arg-type]
    assert sink.shown == [b"1", b"2", b"3", b"5"]
    assert sink.over


def test_the_handlers_are_those_of_before() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    trace(Records([b"1"], []), None, LIMITS, Interrupted(signal.SIGINT, {b"1"}))  # type: ignore[arg-type]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_thread_that_nobody_lets_run_stands_back_no_more(monkeypatch):
    policies, now = [], [100.0]
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "sched_getscheduler", lambda _: os.SCHED_OTHER)
    monkeypatch.setattr(os, "sched_setscheduler", lambda _, policy, __: policies.append(policy))
    monkeypatch.setattr(session.time, "monotonic", lambda: now[0])
    with session._Background(stands_back=True) as background:
        now[0] += 0.1
        background.look()
        assert policies == [os.SCHED_IDLE]
        now[0] += 1
        background.look()
        background.adjust(0)
        assert policies == [os.SCHED_IDLE, os.SCHED_OTHER]
        now[0] += 60
        background.adjust(0)
        assert policies[-1] == os.SCHED_IDLE
    assert policies[-1] == os.SCHED_OTHER

"""When the garbage collector looks at what, while a session runs."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Iterator

import pytest

from tracescope import collecting
from tracescope.collecting import Collecting


@pytest.fixture
def looks() -> Iterator[list[int]]:
    """The generations that the collector looked at."""
    seen: list[int] = []

    def look(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            seen.append(info["generation"])

    gc.callbacks.append(look)
    yield seen
    gc.callbacks.remove(look)


def test_what_is_new_is_looked_at_often(looks: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    usual, turn = gc.get_threshold(), sys.getswitchinterval()
    now = time.monotonic()
    monkeypatch.setattr(collecting.time, "monotonic", lambda: now)
    with Collecting() as collecting_:
        assert gc.get_freeze_count() > 0
        looks.clear()
        for seconds, lull in ((0.1, True), (0.5, True), (0.1, True), (20.0, False), (0.1, True), (40.0, False)):
            now += seconds
            collecting_.update(busy=True, lull=lull)
    assert looks == [1, 1, 2, 2]
    assert (gc.get_freeze_count(), gc.get_threshold(), sys.getswitchinterval()) == (0, usual, turn)


def test_what_came_after_the_start_is_never_kept_for_good() -> None:
    with Collecting() as collecting_:
        kept = gc.get_freeze_count()
        collecting_.update(busy=True)
        assert gc.get_freeze_count() <= kept


def test_the_last_session_ends_it() -> None:
    usual = gc.get_threshold()
    one = Collecting()
    one.events_come()
    assert gc.get_threshold() != usual
    one.update(busy=False)
    assert gc.get_threshold() == usual

"""A key goes before the next look at the sessions."""

from __future__ import annotations

import asyncio

import pytest

from tracescope.ui import key_first
from tracescope.ui.key_first import KeyFirst


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time in seconds, to be set."""
    now = [100.0]
    monkeypatch.setattr(key_first.time, "monotonic", lambda: now[0])
    return now


def test_a_look_is_put_off_for_a_key_but_never_two(clock: list[float]) -> None:
    keys = KeyFirst()
    assert not keys.put_off()
    keys.pressed()
    assert keys.put_off()
    keys.pressed()
    assert not keys.put_off()
    clock[0] += 1
    assert not keys.put_off()


def test_a_lull_follows_the_answer(clock: list[float]) -> None:
    keys = KeyFirst()
    keys.pressed()
    found = []
    for _ in range(4):
        found.append(keys.lull)
        clock[0] += 0.03
    assert found == [False, False, True, False]


async def test_a_key_that_waits_is_let_in() -> None:
    keys = KeyFirst()
    assert not await keys.came()
    asyncio.get_running_loop().call_soon(keys.pressed)
    assert await keys.came()

"""What was counted, as text."""

from __future__ import annotations

from tracescope.attach.ask.summary import SummaryRow
from tracescope.attach.counting.text import folded_lines
from tracescope.attach.symbols.stacks import Frame, Stack

NAMES = {0x10: ("read", 0), 0x18: ("read", 8), 0x20: ("main", 4)}


def frames(stack: Stack) -> list[Frame]:
    return [Frame(address, *NAMES[address]) for address in stack.frames]


def test_stacks_through_the_same_functions_are_one_folded_line():
    stacks = [(0x10, 0x20), (0x20,), (0x18, 0x20)]
    rows = [
        SummaryRow("profile:hz:99", (Stack(one, pid=7),), count) for one, count in zip(stacks, (2, 4, 3), strict=True)
    ]
    assert folded_lines(rows, frames) == ["main;read 5", "main 4"]


def test_a_row_without_stacks_is_folded_by_its_keys_or_its_probe():
    rows = [SummaryRow("a:b", ("cat", 3), 1), SummaryRow("a:b", (), 2)]
    assert folded_lines(rows, frames) == ["a:b 2", "cat;3 1"]

"""What the colours mean, and the small drawing helpers that every widget shares."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len, set_cell_size
from textual.theme import Theme

from tracescope.model import Answer, SourceState, Stability

__all__ = ("ANSWER_STYLE", "KIND_CLASS", "STABILITY_STYLE", "STATE_STYLE", "THEME", "amount", "fit", "with_hits")

THEME = Theme(
    name="tracescope",
    primary="#5f9fd0",
    secondary="#7f8fa6",
    accent="#c792d6",
    success="#7fb86b",
    warning="#d9a94f",
    error="#e0655f",
    foreground="#d3d9de",
    background="#0f1316",
    surface="#13191d",
    panel="#1d262c",
    dark=True,
    variables={"footer-key-foreground": "#5f9fd0", "border": "#2b3840", "scrollbar": "#2b3840"},
)

ANSWER_STYLE = {Answer.YES: "$text-success", Answer.NO: "$text-error", Answer.UNKNOWN: "$text-warning"}
STABILITY_STYLE = {
    Stability.STABLE: "$text-success",
    Stability.TYPED: "$text-primary",
    Stability.UNSTABLE: "$text-warning",
    Stability.FRAGILE: "$text-error",
}
STATE_STYLE = {
    SourceState.WAITING: "dim",
    SourceState.READING: "$text-primary",
    SourceState.OK: "$text-success",
    SourceState.ABSENT: "dim",
    SourceState.FORBIDDEN: "$text-warning",
    SourceState.DAMAGED: "$text-error",
}
KIND_CLASS = {
    "tracepoint": "rows--stable",
    "rawtracepoint": "rows--typed",
    "fentry": "rows--typed",
    "fexit": "rows--typed",
    "kprobe": "rows--unstable",
    "kretprobe": "rows--unstable",
    "symbol": "rows--dim",
    "format": "rows--dim",
}
"""A row's kind drawn in the colour of its stability; kinds not named here are plain."""


def fit(text: str, width: int, *, right: bool = False) -> str:
    """The text in exactly `width` cells: padded, or cut with an ellipsis."""
    size = len(text) if text.isascii() else cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    gap = " " * (width - size)
    return gap + text if right else text + gap


def amount(count: int, one: str, many: str | None = None) -> str:
    """`1 probe`, `2,305 probes`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def with_hits(text: str, hits: re.Pattern[str] | None, style: str) -> Iterator[tuple[str, str]]:
    """The text in pieces, each with its class: those that the pattern finds stand out."""
    at = 0
    for hit in hits.finditer(text) if hits else ():
        yield text[at : hit.start()], style
        yield hit.group(), "rows--hit"
        at = hit.end()
    yield text[at:], style

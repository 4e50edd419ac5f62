"""The head of the live screen: what is attached, how many events each probe gave, lost events, and the rate."""

from __future__ import annotations

from collections.abc import Iterator, Set

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Sparkline, Static

from tracescope.printable import printable
from tracescope.ui.feed import Feed, Totals
from tracescope.ui.look import amount
from tracescope.ui.session_text import sampled_words
from tracescope.ui.widgets.status import session_words

__all__ = ("SessionBar",)

_MOST = 8
"""So many probes are named; the panel has them all."""


class SessionBar(Horizontal):
    """One text and a sparkline of the last minute."""

    def __init__(self, feed: Feed, opening: Set[str]) -> None:
        super().__init__()
        self._feed = feed
        self._opening = opening
        self._shown: tuple[object, ...] = ()
        self._text = Static("", id="session-words", markup=False)
        self._rate = Sparkline(list(feed.rates), id="rate")

    def compose(self) -> ComposeResult:
        """Words left, rate right."""
        yield self._text
        yield self._rate

    def update_counts(self, *, named: bool) -> None:
        """Take the feed's newest numbers; `named`: with those of each probe."""
        totals = self._feed.totals()
        # A layout costs milliseconds: only when there is more or less to show, not at every tick.
        shown = (named, tuple(totals.per_probe), bool(self._opening))
        changed, self._shown = shown != self._shown, shown
        self._text.update(Content.assemble(*self._words(totals, named=named)), layout=changed)
        if self._rate.data != (rates := list(self._feed.rates)):
            self._rate.data = rates

    def _words(self, totals: Totals, *, named: bool) -> Iterator[Content | str | tuple[str, str]]:
        yield from session_words(self._feed)
        if self._opening:
            yield f"● open {amount(len(self._opening), 'probe')}  ", "$text-warning"
        yield f"{amount(totals.events, 'event')}  "
        yield f"{totals.lost:,} lost", "bold $text-error" if totals.lost else "dim"
        yield f"  {self._feed.rates[-1]:,}/s"
        if self._feed.share < 1.0:
            yield f"  {sampled_words(self._feed.share)}", "bold $text-warning"
        if totals.skipped:
            yield f"  {totals.skipped:,} skipped", "$text-warning"
        yield "\n"
        if not totals.per_probe and not self._opening:
            yield "nothing is attached: a on a row of the browser, or e for execve", "dim"
        elif named:
            yield from _per_probe(totals)


def _per_probe(totals: Totals) -> Iterator[str | tuple[str, str]]:
    for probe, count in list(totals.per_probe.items())[:_MOST]:
        yield printable(probe.rpartition(":")[2]), "$text-success"
        yield f" {count:,}  "
    if len(totals.per_probe) > _MOST:
        yield f"and {len(totals.per_probe) - _MOST:,} more", "dim"

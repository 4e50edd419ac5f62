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
from tracescope.ui.widgets.status import session_words

__all__ = ("SessionBar",)


class SessionBar(Horizontal):
    """One text and a sparkline of the last minute."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed
        self._shown: Set[str] = frozenset()
        self._text = Static("", id="session-words", markup=False)
        self._rate = Sparkline(list(feed.rates), id="rate")

    def compose(self) -> ComposeResult:
        """Words left, rate right."""
        yield self._text
        yield self._rate

    def update_counts(self) -> None:
        """Take the feed's newest numbers."""
        totals = self._feed.totals()
        # A layout costs milliseconds: only when there is more or less to show, not at every tick.
        changed = totals.per_probe.keys() != self._shown
        self._shown = totals.per_probe.keys()
        self._text.update(Content.assemble(*self._words(totals)), layout=changed)
        if self._rate.data != (rates := list(self._feed.rates)):
            self._rate.data = rates

    def _words(self, totals: Totals) -> Iterator[Content | str | tuple[str, str]]:
        yield from session_words(self._feed)
        yield f"{amount(totals.events, 'event')}  "
        yield f"{totals.lost:,} lost", "bold $text-error" if totals.lost else "dim"
        yield f"  {self._feed.rates[-1]:,}/s\n"
        if not totals.per_probe:
            yield "nothing is attached: a on a tracepoint in the browser, or e for execve", "dim"
        for probe, count in totals.per_probe.items():
            yield printable(probe.rpartition(":")[2]), "$text-success"
            yield f" {count:,}  "

"""The line below the events: whether the list follows, its order, how many rows of how many events."""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content
from textual.widgets import Static

from tracescope.ui.feed import Feed
from tracescope.ui.widgets.events import EventList

__all__ = ("FollowLine",)


class FollowLine(Static):
    """One line of text."""

    def __init__(self, feed: Feed, events: EventList) -> None:
        super().__init__("", id="follow", markup=False)
        self._feed = feed
        self._events = events

    def say(self, sought: str) -> None:
        """How the list stands now; `sought` is the text that is looked for."""
        self.update(Content.assemble(*self._words(sought)), layout=False)

    def _words(self, sought: str) -> Iterator[tuple[str, str]]:
        events, feed = self._events, self._feed
        yield ("following", "$text-success") if events.following else ("held still: ␣ goes on", "$text-warning")
        if events.sorted_by != "time" or events.descending:
            yield f"  by {events.sorted_by}", "$text-primary"
        yield f"  {events.row_count:,} of the last {feed.end - feed.first:,} events", "dim"
        if feed.in_words:
            yield "  kernel's words, in w y Y too", "$text-primary"
        if events.behind:
            yield f"  {events.behind:,} to look at", "$text-warning"
        if events.searching:
            yield f"  looking for {sought}", "$text-warning"

"""The kernel's own words of the events: what they need of the host is read in a thread, once a session."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tracescope.ui.feed import Feed
from tracescope.ui.messages import WordsReady

if TYPE_CHECKING:
    from textual.screen import Screen

    from tracescope.attach.event_session import EventSession
    from tracescope.ui.screens.event import EventScreen

__all__ = ("Wording",)


class Wording:
    """Prepares sessions for a screen, which gets a WordsReady for each."""

    def __init__(self, feed: Feed, screen: Screen[None]) -> None:
        self._feed = feed
        self._screen = screen
        self._reading: set[EventSession] = set()

    def prepare_shown(self) -> None:
        """Begin with every session, ended ones too, whose words are shown and are not there yet."""
        for session in self._feed.shown_sessions if self._feed.in_words else ():
            if not session.has_words and session not in self._reading:
                self._reading.add(session)
                self._read(session)

    def show_in(self, event: EventScreen, session: EventSession, record: bytes) -> None:
        """Show a record's words on its screen, now or when they are there."""
        if session.has_words:
            event.show_words(session.words(record))
        else:
            self._read(session, event, record)

    def take(self, ready: WordsReady) -> None:
        """A session's words are there."""
        self._reading.discard(ready.session)
        if ready.screen is not None:
            ready.screen.show_words(ready.session.words(ready.record))
        self._feed.line.cache_clear()

    def _read(self, session: EventSession, event: EventScreen | None = None, record: bytes = b"") -> None:
        work = partial(self._prepare, session, event, record)
        self._screen.run_worker(work, group="words", thread=True)

    def _prepare(self, session: EventSession, event: EventScreen | None, record: bytes) -> None:
        """Reads the host's types and symbols: not while a key waits."""
        session.prepare_words()
        self._screen.post_message(WordsReady(session, event, record))

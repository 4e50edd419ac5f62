"""What one does with the events of the live screen: hold them, sort, find, read one, copy, save."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.screen import Screen

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.ui.feed import Feed
from tracescope.ui.look import amount
from tracescope.ui.messages import EventsSaved, WordsReady
from tracescope.ui.save_events import save_events
from tracescope.ui.screens.ask import AskScreen
from tracescope.ui.screens.event import EventScreen
from tracescope.ui.widgets.events import EventList
from tracescope.ui.widgets.follow_line import FollowLine
from tracescope.ui.widgets.rows import RowList
from tracescope.ui.wording import Wording

if TYPE_CHECKING:
    from tracescope.attach.event_session import EventSession

__all__ = ("EventsScreen",)


class EventsScreen(Screen[None]):
    """The actions on the event list; a subclass composes the list and the line below it."""

    def __init__(self, host: Host, feed: Feed) -> None:
        super().__init__()
        self._host = host
        self._feed = feed
        self._sought = ""
        self._wording = Wording(feed, self)
        self.events = EventList(feed)
        """The event list."""
        self._follow = FollowLine(feed, self.events)

    @on(EventList.Followed)
    def _say(self) -> None:
        self._follow.say(self._sought)

    # Holding, sorting

    def action_pause(self) -> None:
        """Hold the list still, or follow again."""
        if self.events.following:
            self.events.following = False
        else:
            self.events.follow()
        self._say()

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.events.sort_next()
        self._say()

    def action_reverse(self) -> None:
        """Sort by the same column the other way round."""
        self.events.sort_by(self.events.sorted_by)
        self._say()

    # Finding

    def action_find(self) -> None:
        """Ask for a text, and go to the next event that holds it."""
        self.app.push_screen(AskScreen("Go to the next event with which words?", self._sought), self._find)

    def _find(self, text: str | None) -> None:
        if text:
            self._sought = text
            self.events.find(text, 1)
            self._say()

    def action_find_next(self, step: int) -> None:
        """Go to the next event that was searched for, or to the one before."""
        if self._sought:
            self.events.find(self._sought, step)
            self._say()
        else:
            self.action_find()

    @on(EventList.Searched)
    def _searched(self, event: EventList.Searched) -> None:
        if not event.found:
            self.notify(f"no event has {event.text}", severity="warning", markup=False)
        self._say()

    def forget_find(self) -> None:
        """Nothing is looked for any more."""
        self._sought = ""
        self.events.forget_find()

    # Reading

    @on(RowList.Chosen, "EventList")
    def _open_event(self) -> None:
        number = self.events.selected
        if number is not None:
            self.events.following = False
            session, record = self._feed.session(number), self._feed.record(number)
            screen = EventScreen(self._feed.event(number), self._feed.line(number), record)
            self.app.push_screen(screen)
            self._wording.show_in(screen, session, record)

    @on(WordsReady)
    def _words_ready(self, event: WordsReady) -> None:
        self._wording.take(event)
        self.events.refresh()

    # Copying, saving

    def action_copy(self) -> None:
        """Copy the selected line."""
        number = self.events.selected
        if number is not None:
            self._copy("\t".join(self._feed.line(number)[:-1]), "the line")

    def action_copy_json(self) -> None:
        """Copy the selected event as `attach --json` prints it."""
        from tracescope.attach.decode.events import event_json

        number = self.events.selected
        if number is not None:
            self._copy(json.dumps(event_json(self._feed.worded(number)), separators=(",", ":")), "the event as JSON")

    def _copy(self, text: str, what: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(f"copied {what}", markup=False)

    def action_save(self) -> None:
        """Ask for a file, and write the shown events into it."""
        numbers = sorted(self.events.numbers)
        records = self._feed.records(numbers)
        in_words = self._feed.in_words
        worded = " in the kernel's words too" if in_words else ""
        question = f"Save {amount(len(records), 'event')}{worded} to which new file?"

        def answered(file: str | None) -> None:
            if file:
                self._save(records, Path(os.path.expanduser(file)), self._feed.totals().lost, in_words)

        self.app.push_screen(AskScreen(question, time.strftime("events-%Y%m%d-%H%M%S.rec")), answered)

    @work(thread=True, group="save")
    def _save(self, records: Sequence[tuple[EventSession, bytes]], path: Path, lost: int, in_words: bool) -> None:
        try:
            save_events(self._host, records, path, lost, in_words=in_words)
        except TraceScopeError as error:
            self.post_message(EventsSaved(str(path), 0, error))
        else:
            self.post_message(EventsSaved(str(path), len(records)))

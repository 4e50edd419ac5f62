"""The live screen: what is attached, and its events as they come."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence, Set
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.ui import keys
from tracescope.ui.costs import Costs
from tracescope.ui.feed import Feed, probes_of
from tracescope.ui.look import amount
from tracescope.ui.messages import DetachWanted, EventsSaved, ExportWanted, WordsReady
from tracescope.ui.save_events import save_events
from tracescope.ui.screens.ask import AskScreen
from tracescope.ui.screens.event import EventScreen
from tracescope.ui.screens.program import program_screen
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.screens.text import TextScreen
from tracescope.ui.session_text import session_text
from tracescope.ui.widgets.events import EventList
from tracescope.ui.widgets.filter import FilterInput, FilterLine
from tracescope.ui.widgets.key_line import KeyLine
from tracescope.ui.widgets.probes import ProbePanel
from tracescope.ui.widgets.rows import RowList
from tracescope.ui.widgets.session_bar import SessionBar
from tracescope.ui.widgets.status import StatusLine

if TYPE_CHECKING:
    from tracescope.attach.event_session import EventSession

__all__ = ("LiveScreen",)

_PANEL_FROM = (100, 20)
"""Columns and lines from which the probes are shown without being asked for."""

_BUSY, _SLOWER = 1000, 3
"""With so many new events at once the numbers are drawn only every third time: keys come first."""


class LiveScreen(Screen[None]):
    """Follows the newest event; everything else goes on below while one looks."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.LIVE)
    AUTO_FOCUS = "EventList"

    def __init__(self, host: Host, feed: Feed, costs: Costs, opening: Set[str] = frozenset()) -> None:
        super().__init__()
        self._host = host
        self._feed = feed
        self._costs = costs
        self._bar = SessionBar(feed, opening)
        self._follow = Static("", id="follow", markup=False)
        self._panel_wanted: bool | None = None
        """What the user said; None: by the size."""
        self._sought = ""
        self._seen = feed.end
        self._turn = 0
        self._reading: set[EventSession] = set()
        """The sessions whose words are being prepared."""
        self.events = EventList(feed)
        """The event list."""
        self.panel = ProbePanel(feed, costs)
        """What is attached."""

    def compose(self) -> ComposeResult:
        """Head, probes, filter line (hidden until it is used), events, status."""
        yield self._bar
        yield self.panel
        yield FilterLine("words, comm:make, pid:42, ret:<0, filename:*.so, -word")
        yield self.events
        yield self._follow
        yield StatusLine(self._host.label)
        yield KeyLine()

    def on_mount(self) -> None:
        """The filter line shows itself when it is needed."""
        self.query_one(FilterLine).display = False
        self.call_after_refresh(self.update_events)

    # What is shown

    def on_resize(self) -> None:
        """Room for the probes, or none."""
        self._show_panel()

    def on_screen_resume(self) -> None:
        """Costs are asked for while they are seen."""
        self._show_panel()

    def on_screen_suspend(self) -> None:
        """Nobody sees them."""
        self._costs.watch(on=False)

    def _show_panel(self) -> None:
        columns, lines = self.app.size
        fits = columns >= _PANEL_FROM[0] and lines >= _PANEL_FROM[1]
        self.panel.display = fits if self._panel_wanted is None else self._panel_wanted
        self._costs.watch(on=self.panel.display)

    def update_events(self) -> None:
        """Draw what the feed has by now."""
        if self._feed.in_words:
            for session in self._feed.sessions:
                if not session.has_words and session not in self._reading:
                    self._reading.add(session)
                    self._read_words(session)
        came, self._seen = self._feed.end - self._seen, self._feed.end
        self._turn = (self._turn + 1) % _SLOWER if came > _BUSY else 0
        if not self._turn:
            self._bar.update_counts(named=not self.panel.display)
            if self.panel.display:
                self.panel.update_probes()
        self.events.update_rows()
        self._say()

    @on(EventList.Followed)
    def _say(self) -> None:
        events = self.events
        held = ("held still: ␣ goes on", "$text-warning")
        words = [("following", "$text-success") if events.following else held]
        if events.sorted_by != "time" or events.descending:
            words.append((f"  by {events.sorted_by}", "$text-primary"))
        words.append((f"  {events.row_count:,} of the last {self._feed.end - self._feed.first:,} events", "dim"))
        if events.behind:
            words.append((f"  {events.behind:,} to look at", "$text-warning"))
        if events.searching:
            words.append((f"  looking for {self._sought}", "$text-warning"))
        self._follow.update(Content.assemble(*words), layout=False)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Keys that need an event or a session only work when there is one; letters are typed into the filter."""
        typing = isinstance(self.focused, FilterInput)
        match action:
            case "copy" | "copy_json" | "clear" | "find" | "find_next" | "sort" | "reverse" | "save" | "words":
                return self.events.row_count > 0 and not typing
            case "detach" | "program" | "export":
                return bool(self._feed.sessions) and not typing
            case "pause" | "probes" | "filter":
                return not typing
        return True

    # The filter

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self.events.show_filter(event.value)
        self._say()

    @on(FilterInput.Left)
    def _leave_filter(self) -> None:
        line = self.query_one(FilterLine)
        line.display = bool(line.input.value)
        self.events.focus()

    def action_filter(self) -> None:
        """Show the filter line and go there."""
        line = self.query_one(FilterLine)
        line.display = True
        line.input.focus()

    @on(RowList.Chosen, "ProbePanel")
    def _open_probe(self) -> None:
        """Show only the probe's events, or all again; a session, or an error, in full."""
        row = self.panel.selected
        if row is None:
            return
        if row.probe is None:
            states = self._feed.states(row.session)
            self.app.push_screen(TextScreen("the session", session_text(row.session, states)))
        elif row.probe.error is not None:
            self.app.push_screen(RefusalScreen(row.probe.error))
        else:
            line = self.query_one(FilterLine)
            line.input.value = _toggled(line.input.value, row.probe.name)
            line.display = bool(line.input.value)

    def action_back(self) -> None:
        """Drop what was searched for, then the filter; without them, back to the browser. Sessions go on."""
        line = self.query_one(FilterLine)
        if self._sought and not line.display:
            self._sought = ""
            self.events.forget_find()
        elif line.display:
            line.input.value = ""
            line.display = False
            self.events.focus()
        else:
            self.app.pop_screen()

    # The events

    @on(RowList.Chosen, "EventList")
    def _open_event(self) -> None:
        number = self.events.selected
        if number is not None:
            self.events.following = False
            feed = self._feed
            session, record = feed.session(number), feed.record(number)
            screen = EventScreen(feed.event(number), feed.line(number), record)
            self.app.push_screen(screen)
            if session.has_words:
                screen.show_words(session.words(record))
            else:
                self._read_words(session, screen, record)

    @work(thread=True, group="words")
    def _read_words(self, session: EventSession, screen: EventScreen | None = None, record: bytes = b"") -> None:
        """Reads the host's types and symbols: not while a key waits."""
        session.prepare_words()
        self.post_message(WordsReady(session, screen, record))

    @on(WordsReady)
    def _words_ready(self, event: WordsReady) -> None:
        self._reading.discard(event.session)
        if event.screen is not None:
            event.screen.show_words(event.session.words(event.record))
        self._feed.line.cache_clear()
        self.events.refresh()

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

    def action_clear(self) -> None:
        """Forget the events; the counts stay."""
        self._feed.clear()
        self.events.show_filter(self.query_one(FilterLine).input.value)
        self.refresh_bindings()

    def action_words(self) -> None:
        """Show the arguments, or the events in the kernel's own words."""
        self._feed.show_words(not self._feed.in_words)
        self.update_events()
        self.events.refresh()

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
            self._copy(json.dumps(event_json(self._feed.event(number)), separators=(",", ":")), "the event as JSON")

    def _copy(self, text: str, what: str) -> None:
        self.app.copy_to_clipboard(text)
        self.notify(f"copied {what}", markup=False)

    def action_save(self) -> None:
        """Ask for a file, and write the shown events into it."""
        numbers = sorted(self.events.numbers)
        records = self._feed.records(numbers)
        question = f"Save {amount(len(records), 'event')} to which new file?"

        def answered(file: str | None) -> None:
            if file:
                self._save(records, Path(os.path.expanduser(file)), self._feed.totals().lost)

        self.app.push_screen(AskScreen(question, time.strftime("events-%Y%m%d-%H%M%S.rec")), answered)

    @work(thread=True, group="save")
    def _save(self, records: Sequence[tuple[EventSession, bytes]], path: Path, lost: int) -> None:
        try:
            save_events(self._host, records, path, lost)
        except TraceScopeError as error:
            self.post_message(EventsSaved(str(path), 0, error))
        else:
            self.post_message(EventsSaved(str(path), len(records)))

    # The sessions

    def _session(self) -> EventSession | None:
        """The session of the selected probe or event, or the newest one."""
        number, row = self.events.selected, self.panel.selected
        if self.panel.has_focus and row is not None:
            return row.session
        session = self._feed.session(number) if number is not None else None
        return session if session in self._feed.sessions else next(reversed(self._feed.sessions), None)

    def action_detach(self) -> None:
        """Detach the session of the selected probe or event, or the newest one."""
        session = self._session()
        if session is not None:
            self.post_message(DetachWanted(probes_of(session)[0]))

    def action_program(self) -> None:
        """Show the C program of that session."""
        session = self._session()
        if session is not None:
            self.app.push_screen(program_screen(session))

    def action_export(self) -> None:
        """Show that session, as it was asked for, as a program for another tracer."""
        from tracescope.attach.ask.options import AttachOptions

        session = self._session()
        if session is not None:
            probes, options = self._feed.asking(session)
            self.post_message(ExportWanted(probes, options or AttachOptions()))

    def action_probes(self) -> None:
        """Show or hide the probes."""
        self._panel_wanted = not self.panel.display
        self._show_panel()
        self.update_events()
        if not self.panel.display:
            self.events.focus()


def _toggled(text: str, probe: str) -> str:
    """The filter with this probe alone, or without it when it was there."""
    term = f'probe:="{probe}"' if " " in probe else f"probe:={probe}"
    rest = re.sub(r'probe:=(?:"[^"]*"|\S+)\s*', "", text)
    return rest if term in text else f"{term} {rest}".rstrip()

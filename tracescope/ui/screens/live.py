"""The live screen: what is attached, and its events as they come."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Input, Static

from tracescope.host import Host
from tracescope.ui import keys
from tracescope.ui.feed import Feed, probes_of
from tracescope.ui.messages import DetachWanted
from tracescope.ui.screens.event import event_screen
from tracescope.ui.screens.program import program_screen
from tracescope.ui.widgets.events import EventList
from tracescope.ui.widgets.filter import FilterInput, FilterLine
from tracescope.ui.widgets.rows import RowList
from tracescope.ui.widgets.session_bar import SessionBar
from tracescope.ui.widgets.status import StatusLine

__all__ = ("LiveScreen",)


class LiveScreen(Screen[None]):
    """Follows the newest event; everything else goes on below while one looks."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.LIVE)
    AUTO_FOCUS = "EventList"

    def __init__(self, host: Host, feed: Feed) -> None:
        super().__init__()
        self._host = host
        self._feed = feed
        self._bar = SessionBar(feed)
        self._follow = Static("", id="follow", markup=False)
        self.events = EventList(feed)
        """The event list."""

    def compose(self) -> ComposeResult:
        """Head, filter line (hidden until it is used), events, status."""
        yield self._bar
        yield FilterLine("text in the event's line")
        yield self.events
        yield self._follow
        yield StatusLine(self._host.label)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """The filter line shows itself when it is needed."""
        self.query_one(FilterLine).display = False
        self.call_after_refresh(self.update_events)

    def update_events(self) -> None:
        """Draw what the feed has by now."""
        self._bar.update_counts()
        self.events.update_rows()
        self._say()

    def _say(self) -> None:
        events = self.events
        words = [("following", "$text-success") if events.following else ("held still: end follows", "$text-warning")]
        words.append((f"  {events.row_count:,} of the last {self._feed.end - self._feed.first:,} events", "dim"))
        if events.behind:
            words.append((f"  filtering: {events.behind:,} to go", "$text-warning"))
        self._follow.update(Content.assemble(*words), layout=False)

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self.events.show_filter(event.value)
        self._say()

    @on(FilterInput.Left)
    def _leave_filter(self) -> None:
        line = self.query_one(FilterLine)
        line.display = bool(line.input.value)
        self.events.focus()

    @on(RowList.Moved)
    def _moved(self) -> None:
        self.refresh_bindings()

    @on(RowList.Chosen)
    def _open_event(self) -> None:
        number = self.events.selected
        if number is not None:
            self.events.following = False
            self.app.push_screen(event_screen(self._feed.event(number), self._feed.line(number)))

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Keys that need an event or a session only work when there is one."""
        match action:
            case "copy" | "clear":
                return self.events.row_count > 0
            case "detach" | "program":
                return bool(self._feed.sessions)
            case "pause":
                return not isinstance(self.focused, FilterInput)
        return True

    def action_pause(self) -> None:
        """Hold the list still, or follow again."""
        if self.events.following:
            self.events.following = False
        else:
            self.events.action_last()
        self._say()

    def action_detach(self) -> None:
        """Detach the session of the selected event, or the newest one."""
        number = self.events.selected
        session = self._feed.session(number) if number is not None else None
        if session not in self._feed.sessions:
            session = self._feed.sessions[-1]
        self.post_message(DetachWanted(probes_of(session)[0]))

    def action_clear(self) -> None:
        """Forget the events; the counts stay."""
        self._feed.clear()
        self.events.show_filter(self.query_one(FilterLine).input.value)
        self.refresh_bindings()

    def action_filter(self) -> None:
        """Show the filter line and go there."""
        line = self.query_one(FilterLine)
        line.display = True
        line.input.focus()

    def action_program(self) -> None:
        """Show the C program of the newest session."""
        self.app.push_screen(program_screen(self._feed.sessions[-1]))

    def action_copy(self) -> None:
        """Copy the selected line."""
        number = self.events.selected
        if number is not None:
            line = self._feed.line(number)
            self.app.copy_to_clipboard("\t".join(line[:-1]))
            self.notify("copied the line", markup=False)

    def action_back(self) -> None:
        """Drop the filter; without one, back to the browser. Sessions go on."""
        line = self.query_one(FilterLine)
        if line.display:
            line.input.value = ""
            line.display = False
            self.events.focus()
        else:
            self.app.pop_screen()

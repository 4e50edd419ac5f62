"""The live screen: what is attached, and its events as they come."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from tracescope.host import Host
from tracescope.ui import keys
from tracescope.ui.costs import Costs
from tracescope.ui.feed import Feed, probes_of
from tracescope.ui.messages import DetachWanted, ExportWanted
from tracescope.ui.screens.live_events import EventsScreen
from tracescope.ui.screens.program import program_screen
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.screens.text import TextScreen
from tracescope.ui.session_text import session_text
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


class LiveScreen(EventsScreen):
    """Follows the newest event; everything else goes on below while one looks."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.LIVE)
    AUTO_FOCUS = "EventList"

    def __init__(self, host: Host, feed: Feed, costs: Costs, opening: Set[str] = frozenset()) -> None:
        super().__init__(host, feed)
        self._costs = costs
        self._bar = SessionBar(feed, opening)
        self._filter_line = FilterLine("words, comm:make, pid:42, ret:<0, filename:*.so, -word")
        self._panel_wanted: bool | None = None
        """What the user said; None: by the size."""
        self._seen = feed.end
        self._turn = 0
        self.panel = ProbePanel(feed, costs)
        """What is attached."""

    def compose(self) -> ComposeResult:
        """Head, probes, filter line (hidden until it is used), events, status."""
        yield self._bar
        yield self.panel
        yield self._filter_line
        yield self.events
        yield self._follow
        yield StatusLine(self._host.label)
        yield KeyLine()

    def on_mount(self) -> None:
        """The filter line shows itself when it is needed."""
        self._filter_line.display = False
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
        self._wording.prepare_shown()
        came, self._seen = self._feed.end - self._seen, self._feed.end
        self._turn = (self._turn + 1) % _SLOWER if came > _BUSY else 0
        if not self._turn:
            self._bar.update_counts(named=not self.panel.display)
            if self.panel.display:
                self.panel.update_probes()
        self.events.update_rows()
        if not self._turn:
            self._say()

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

    def action_words(self) -> None:
        """Show the arguments, or the events in the kernel's own words."""
        self._feed.show_words(not self._feed.in_words)
        self.update_events()
        self.events.refresh()

    def action_clear(self) -> None:
        """Forget the events; the counts stay."""
        self._feed.clear()
        self.events.show_filter(self._filter_line.input.value)
        self.refresh_bindings()

    # The filter

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self.events.show_filter(event.value)
        self._say()

    @on(FilterInput.Left)
    def _leave_filter(self) -> None:
        self._filter_line.display = bool(self._filter_line.input.value)
        self.events.focus()

    def action_filter(self) -> None:
        """Show the filter line and go there."""
        self._filter_line.display = True
        self._filter_line.input.focus()

    def action_back(self) -> None:
        """Drop what was searched for, then the filter; without them, back to the browser. Sessions go on."""
        line = self._filter_line
        if self._sought and not line.display:
            self.forget_find()
        elif line.display:
            line.input.value = ""
            line.display = False
            self.events.focus()
        else:
            self.app.pop_screen()

    # The sessions

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
            line = self._filter_line
            line.input.value = _toggled(line.input.value, row.probe.name)
            line.display = bool(line.input.value)

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

"""The Processes screen: what starts, fails and dies, summed up in words, as programs, as a live list, as a tree."""

from __future__ import annotations

import pwd
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.printable import printable
from tracescope.processes import Process, ProgramSummary, Summary, summary_line
from tracescope.ui import keys
from tracescope.ui.look import amount
from tracescope.ui.process_feed import Monitor, Outcome, ProcessFeed
from tracescope.ui.process_filter import NO_FILTER, parse_filter
from tracescope.ui.screens.process import copy_command, outcome_screen, process_screen, program_screen, run_of
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.widgets.filter import FilterInput, FilterLine
from tracescope.ui.widgets.key_line import KeyLine
from tracescope.ui.widgets.outcomes import OutcomeList
from tracescope.ui.widgets.process_bar import ProcessBar
from tracescope.ui.widgets.process_tree import ProcessTree
from tracescope.ui.widgets.programs import ProgramTable
from tracescope.ui.widgets.rows import RowList
from tracescope.ui.widgets.status import StatusLine

__all__ = ("MonitorScreen", "ProcessesScreen")

_VIEWS = ("Programs", "Live", "Tree")


class ProcessesScreen(Screen[None]):
    """Three views of one feed. Subclasses say where its events come from."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.PROCESSES)
    AUTO_FOCUS = "ProgramTable"

    def __init__(
        self, feed: ProcessFeed, label: str, resolve: Callable[[str, str], int | None] = lambda _key, _name: None
    ) -> None:
        super().__init__()
        self._feed = feed
        self._label = label
        self._resolve = resolve
        self._filter = NO_FILTER
        self._shown: Summary | None = None
        self._bar = ProcessBar()
        self._names = Static("", id="views", markup=False)
        self.programs = ProgramTable(feed.table.short_lived_ns)
        """The first view."""
        self.outcomes = OutcomeList(feed)
        """The second view."""
        self.ancestry = ProcessTree()
        """The third view."""
        self._views: tuple[RowList, ...] = (self.programs, self.outcomes, self.ancestry)
        self._view: RowList = self.programs

    def compose(self) -> ComposeResult:
        """Head, names of the views, filter line (hidden until it is used), the views, status."""
        yield self._bar
        yield self._names
        yield FilterLine("words, pid:, uid:, cgroup:, failed:yes, life:<100ms, life:>1s")
        yield from self._views
        yield StatusLine(self._label)
        yield KeyLine()

    def on_mount(self) -> None:
        """Begin with the programs."""
        self.query_one(FilterLine).display = False
        self.action_view(0)

    def state_words(self) -> tuple[str, str]:
        """Where the events come from, or how far that is, and its style."""
        raise NotImplementedError

    def extra_words(self) -> tuple[str, str]:
        """What else goes on, and its style."""
        return "", ""

    def update(self) -> None:
        """Draw what the feed has by now."""
        if not self.is_mounted:
            return
        summary = self._feed.summary()
        changed, self._shown = summary is not self._shown, summary
        lost = self._feed.lost
        counts = Content.assemble(
            self.state_words(),
            (f"  {lost:,} lost", "bold $text-error" if lost else "dim"),
            f"  {amount(self._feed.table.events, 'event')}  ",
            self.extra_words(),
        )
        self._bar.show(counts, summary_line(summary, self._bar.room), self._feed.rates())
        if changed or (self._view is self.outcomes and self._filter == NO_FILTER):
            self._show_rows(summary)

    def _show_rows(self, summary: Summary) -> None:
        """Only the view that is seen is made."""
        empty, table = self._view.row_count == 0, self._feed.table
        total = 0
        if self._view is self.programs:
            placed = self._filter.programs(table)
            rows = [row for row in summary.programs if self._filter.takes_program(row, placed)]
            total = len(summary.programs)
            self.programs.show_programs(rows, frozenset(loop.program for loop in summary.loops))
        elif self._view is self.outcomes:
            self.outcomes.show_outcomes(self._filter)
            total = len(self._feed.outcomes)
        else:
            self.ancestry.show_tree(table, self._filter, self._feed.now_ns)
        self._name_views(total)
        if empty != (self._view.row_count == 0):
            self.refresh_bindings()

    def _name_views(self, total: int) -> None:
        words: list[tuple[str, str]] = []
        for number, (name, view) in enumerate(zip(_VIEWS, self._views, strict=True), 1):
            words += [(f" {number} {name} ", "reverse" if view is self._view else "dim"), (" ", "")]
        count = self._view.row_count
        words.append((f" {count:,} of {total:,}" if total > count else f" {count:,}", "dim"))
        if self._view is self.outcomes and not self.outcomes.following:
            words.append(("  held still: end follows", "$text-warning"))
        self._names.update(Content.assemble(*words), layout=False)

    def action_view(self, number: int) -> None:
        """Show a view."""
        self._view = self._views[number]
        for view in self._views:
            view.display = view is self._view
        self._view.focus()
        self._show_rows(self._feed.summary())
        self.refresh_bindings()

    def action_next_view(self) -> None:
        """Show the view after this one."""
        self.action_view((self._views.index(self._view) + 1) % len(self._views))

    @on(Input.Changed)
    def _set_filter(self, event: Input.Changed) -> None:
        self._filter = parse_filter(event.value, self._resolve)
        for view in self._views:
            view.empty_text = "nothing matches" if event.value.strip() else type(view).empty_text
        self._show_rows(self._feed.summary())

    @on(FilterInput.Left)
    def _leave_filter(self) -> None:
        line = self.query_one(FilterLine)
        line.display = bool(line.input.value)
        self._view.focus()

    @on(RowList.Moved)
    def _moved(self) -> None:
        self.refresh_bindings()

    @property
    def _selected(self) -> ProgramSummary | Outcome | Process | None:
        view = self._view
        assert isinstance(view, (ProgramTable, OutcomeList, ProcessTree))
        return view.selected

    @on(RowList.Chosen)
    def _open(self) -> None:
        table, row = self._feed.table, self._selected
        if isinstance(row, ProgramSummary):
            self.app.push_screen(program_screen(row, self._feed.summary(), table))
        elif isinstance(row, Outcome):
            self.outcomes.hold()
            self.app.push_screen(outcome_screen(row, table))
        elif row is not None:
            self.app.push_screen(process_screen(row, table))

    @property
    def typing(self) -> bool:
        """The filter line has the keys."""
        return isinstance(self.focused, FilterInput)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Keys that need a row or a table only work when there is one."""
        match action:
            case "copy":
                return self._view.row_count > 0 and not self.typing
            case "sort" | "reverse":
                return self._view is self.programs and not self.typing
            case "filter":
                return not self.typing
        return True

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.programs.sort_next()

    def action_reverse(self) -> None:
        """Sort by the same column the other way round."""
        self.programs.sort_by(self.programs.sorted_by)

    def action_filter(self) -> None:
        """Show the filter line and go there."""
        line = self.query_one(FilterLine)
        line.display = True
        line.input.focus()

    def action_copy(self) -> None:
        """Copy the row's command, quoted for a shell."""
        row = self._selected
        if row is not None:
            copy_command(self.app, run_of(row, self._feed.table))

    def action_back(self) -> None:
        """Drop the filter; without one, back to the screen before."""
        line = self.query_one(FilterLine)
        if line.display:
            line.input.value = ""
            line.display = False
            self._view.focus()
        elif len(self.app.screen_stack) > 1:
            self.app.pop_screen()


class MonitorScreen(ProcessesScreen):
    """The processes of this host."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.MONITOR)

    def __init__(self, host: Host, monitor: Monitor) -> None:
        super().__init__(monitor, host.label, lambda key, name: _number(host, key, name))
        self._monitor = monitor

    def state_words(self) -> tuple[str, str]:
        """The monitor's state."""
        state = self._monitor.state
        return f"● {state}", "$text-success" if state == "run" else "$text-warning"

    def extra_words(self) -> tuple[str, str]:
        """What is written."""
        recorder = self._monitor.recorder
        return ("", "") if recorder is None else (f"▶ {printable(recorder.path.name)}", "$text-error")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What does not run is not recorded."""
        if action == "record":
            return self._monitor.state == "run"
        if action == "switch":
            return self._monitor.state in ("run", "off")
        return super().check_action(action, parameters)

    def action_switch(self) -> None:
        """Stop the monitor, or start it again."""
        run = self._monitor.stop if self._monitor.state == "run" else self._monitor.start
        self.app.run_worker(run, thread=True, group="sessions")

    def action_record(self) -> None:
        """Record into a new file in the working folder, or end the recording."""
        path = self._monitor.end_recording()
        if path is not None:
            self.notify(f"recorded to {path}", markup=False)
            return
        path = Path.cwd() / time.strftime("processes-%Y%m%d-%H%M%S.rec")
        try:
            self._monitor.record(path)
        except TraceScopeError as error:
            self.app.push_screen(RefusalScreen(error))
        else:
            self.notify(f"records to {path}", markup=False)


def _number(host: Host, key: str, name: str) -> int | None:
    """The id of a user or of a control group."""
    from tracescope.attach.ask.cgroups import find_cgroup

    try:
        return pwd.getpwnam(name).pw_uid if key == "uid" else find_cgroup(host, name).id
    except (KeyError, TraceScopeError):
        return None

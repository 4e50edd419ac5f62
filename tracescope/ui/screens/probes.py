"""A screen with a probe table: what the keys do to its rows, and the dialogs that they open."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from textual.screen import Screen

from tracescope.errors import Refused
from tracescope.host import Host
from tracescope.ui.attachable import MOST, attachable_as, attachable_rows
from tracescope.ui.messages import AttachWanted, DetachWanted, DetailReady, ExportWanted
from tracescope.ui.screens.ask import AskScreen
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.widgets.filter import FilterInput, FilterLine
from tracescope.ui.widgets.table import ProbeTable

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog

__all__ = ("ProbesScreen",)


class ProbesScreen(Screen[None]):
    """Marks, attaching, and what else there is to a probe."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self._host = host
        self._catalog: Catalog | None = None
        self._detail: DetailReady | None = None
        """What is known of the selected row."""

    @property
    def table(self) -> ProbeTable:
        """The probe table."""
        return self.query_one(ProbeTable)

    @property
    def input(self) -> FilterInput:
        """The filter line's input."""
        return self.query_one(FilterInput)

    def count_rows(self) -> None:
        """Say how many rows there are, and how many are marked."""
        view, marked = self.table.view, len(self.table.marked)
        hits = f"{len(view):,} " if view is not None else ""
        self.query_one(FilterLine).show_hits(f"{marked:,} marked  {hits}" if marked else hits)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """Keys that act on a row need one; the filter key goes where the focus is not."""
        if action in ("choose", "compare", "named"):
            return self._catalog is not None
        if action in ("attach", "options", "export", "copy", "types", "mark", "mark_all"):
            return self.is_mounted and self.table.row_count > 0 and not self._typing
        if action == "unmark":
            return self.is_mounted and bool(self.table.marked) and not self._typing
        if action == "filter":
            return not self._typing
        return True

    @property
    def _typing(self) -> bool:
        return isinstance(self.focused, FilterInput)

    def action_attach(self) -> None:
        """Attach what is marked, else the selected row, or detach that; say why before anything happens."""
        row, view = self.table.selected, self.table.view
        if self.table.marked:
            self.post_message(AttachWanted(self._wanted()))
        elif row is not None and view is not None:
            name = attachable_as(view.catalog, row)
            known = self._detail
            if name in self.table.attached:
                self.post_message(DetachWanted(name))
            elif known is not None and known.row.key == row.key and known.refusal is not None:
                self.app.push_screen(RefusalScreen(known.refusal))
            else:
                self.post_message(AttachWanted([name]))

    def _wanted(self) -> list[str]:
        """What is marked, else the selected row's probe."""
        row, view = self.table.selected, self.table.view
        if self.table.marked:
            return list(self.table.marked)
        return [attachable_as(view.catalog, row)] if row is not None and view is not None else []

    def action_options(self) -> None:
        """Ask whose events are wanted, and in which form, before attaching."""
        from tracescope.ui.screens.options import OptionsScreen

        if wanted := self._wanted():
            self.app.push_screen(OptionsScreen(self._host, wanted))

    def action_named(self) -> None:
        """Ask for full names: functions and USDT probes of programs, timers."""
        question = "Attach what? A full name or a glob: uprobe:libc:malloc, usdt:PATH:*, profile:hz:99"
        self.app.push_screen(
            AskScreen(question, self.input.value if ":" in self.input.value else ""), self._ask_options
        )

    def _ask_options(self, names: str | None) -> None:
        from tracescope.catalog.patterns import full_name
        from tracescope.ui.screens.options import OptionsScreen

        if names:
            self.app.push_screen(OptionsScreen(self._host, [full_name(name) for name in names.split()]))

    def action_export(self) -> None:
        """Show what is marked, else the selected probe, as a program for another tracer, as the dialog last had it."""
        if wanted := self._wanted():
            self.post_message(ExportWanted(wanted))

    def action_mark(self) -> None:
        """Mark the selected row, or unmark it, and go on to the next."""
        self.table.toggle_mark()
        self._marks_changed()

    def action_mark_all(self) -> None:
        """Mark all that the filter selects and that can be attached; unmark it when all of it is marked."""
        view = self.table.view
        if view is None:
            return
        names = list(islice(attachable_rows(view), MOST + 1))
        if len(names) > MOST:
            why = f"the filter selects more, and a session takes {MOST:,}"
            self.app.push_screen(RefusalScreen(Refused("so many probes are not attached at once", why, "narrow it")))
            return
        self.table.toggle_marks(names)
        self._marks_changed()
        if not names:
            self.notify("nothing that the filter selects can be attached", severity="warning", markup=False)

    def forget_marks(self) -> None:
        """What was marked is being attached."""
        if self.table.marked:
            self.action_unmark()

    def action_unmark(self) -> None:
        """Forget the marks."""
        self.table.clear_marks()
        self._marks_changed()

    def _marks_changed(self) -> None:
        self.count_rows()
        self.refresh_bindings()

    def action_choose(self) -> None:
        """Ask which probe to take; come back with the cursor on it."""
        from tracescope.ui.screens.choose import ChooseScreen

        if self._catalog is not None:
            self.app.push_screen(ChooseScreen(self._catalog), self._show_probe)

    def _show_probe(self, probe: str | None) -> None:
        if probe:
            self.input.value = probe
            self.table.focus()

    def action_compare(self) -> None:
        """Ask for a snapshot, and show what differs."""
        self.app.push_screen(AskScreen("Compare with which snapshot (a zip or a folder)?"), self._compare)

    def _compare(self, path: str | None) -> None:
        from tracescope.ui.screens.diff import DiffScreen

        if path and self._catalog is not None:
            self.app.push_screen(DiffScreen(Path(os.path.expanduser(path)), self._catalog, self._host.label))

    def action_snapshot(self) -> None:
        """Ask for a file, and write what this host shows into it."""
        self.app.push_screen(AskScreen("Write the snapshot to which new file?", "snapshot.zip"), self._write_snapshot)

    def _write_snapshot(self, file: str | None) -> None:
        from tracescope.ui.screens.snapshot import SnapshotScreen

        if file:
            self.app.push_screen(SnapshotScreen(self._host, Path(os.path.expanduser(file))))

    def action_types(self) -> None:
        """Open the types of the selected probe's arguments."""
        from tracescope.ui.screens.structs import types_screen

        row, view = self.table.selected, self.table.view
        if row is not None and view is not None:
            self.app.push_screen(types_screen(view.catalog, row))

    def action_copy(self) -> None:
        """Copy the probe's full name."""
        row = self.table.selected
        if row is not None:
            self.app.copy_to_clipboard(row.probe)
            self.notify(f"copied {row.probe}", markup=False)

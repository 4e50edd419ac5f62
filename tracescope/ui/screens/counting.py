"""What a session counts in the kernel: a table, histograms, a heat map over time; read anew several times a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.look import amount, fit
from tracescope.ui.messages import ExportWanted
from tracescope.ui.screens.text import TextScreen
from tracescope.ui.widgets.counts import BarList, CountRow, CountTable
from tracescope.ui.widgets.heat_map import HeatMap
from tracescope.ui.widgets.key_line import KeyLine
from tracescope.ui.widgets.rows import RowList

if TYPE_CHECKING:
    from tracescope.attach.ask.options import AttachOptions
    from tracescope.attach.ask.summary import SummaryRow
    from tracescope.attach.counting.session import SummarySession
    from tracescope.attach.counting.shape import Histogram, Place

__all__ = ("CountingScreen",)

_SECONDS = 0.25
"""How often the counts are drawn; a column of the heat map, unless the user asks for another."""
_TOP = 200


class CountingScreen(Screen[None]):
    """Leaving it detaches the session, which was opened for these probes with these options."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.COUNTING)

    def __init__(self, session: SummarySession, probes: Sequence[str], options: AttachOptions) -> None:
        super().__init__()
        from tracescope.attach.counting.slices import Slices

        self._session = session
        self._probes, self._options = probes, options
        self._top = options.top or _TOP
        self._seconds = options.interval or _SECONDS
        self._slices = Slices()
        self._said: set[str] = set()
        self._rows: Sequence[SummaryRow] = ()
        self._found: Sequence[Histogram] = ()
        keyed = bool(session.plan.slots) or len(session.plan.plan.probes) > 1
        self._keyed = keyed
        self._scaled = session.plan.scale is not None
        self.table = CountTable(valued=session.plan.valued, top=self._top)
        """The counts, without a scale."""
        self.bars = BarList(self._label, self._title, keyed=keyed)
        """The histograms, with one."""
        self.heat = HeatMap(self._slices, self._label, self._seconds, keyed=keyed)
        """The same over time, of all keys together or of one."""
        self._whose = Static("", id="whose", markup=False)

    def compose(self) -> ComposeResult:
        """What is counted, the counts, keys."""
        yield Static("", id="counting", classes="title", markup=False)
        if self._scaled:
            yield self.bars
            yield self._whose
            yield self.heat
        else:
            yield self.table
        yield KeyLine()

    def on_mount(self) -> None:
        """Look at once, and then regularly."""
        self.heat.display = self._whose.display = False
        (self.bars if self._scaled else self.table).focus()
        self.set_interval(_SECONDS, self.update_counts)
        if self._scaled:
            self.set_interval(self._seconds, self.end_slice)
        self.update_counts()

    def action_export(self) -> None:
        """Show the same as a program for another tracer."""
        self.post_message(ExportWanted(self._probes, self._options))

    def update_counts(self) -> None:
        """Read the kernel's tables and show them."""
        session = self._session
        counts = session.counts()
        head = f"{session.state}  {amount(counts.events, 'event')}  {counts.lost:,} lost"
        self.query_one("#counting", Static).update(Content(f"counting in the kernel  ● {head}"))
        self._rows = session.summary()
        if self._scaled:
            from tracescope.attach.counting.shape import histograms

            self._found = histograms(self._rows)[: self._top]
            self.bars.show_histograms(self._found)
        else:
            self.table.show_rows([self._row(row) for row in self._rows])
        if session.error is not None:
            self.table.empty_text = self.bars.empty_text = self.heat.empty_text = str(session.error)
        for probe, error in session.failed:
            if probe.name not in self._said:
                self._said.add(probe.name)
                self.notify(f"{probe.name}: {error}", severity="error", markup=False)

    def end_slice(self) -> None:
        """A column of the heat map is complete."""
        self._slices.add(self._session.summary())
        self._show_heat()

    def _label(self, bucket: int | None) -> str:
        from tracescope.attach.counting.text import range_words

        return "(unreadable)" if bucket is None else range_words(self._session.plan, bucket)

    def _title(self, one: Histogram) -> str:
        return self._words(one.probe, one.keys)

    def _words(self, probe: str, row_keys: tuple[object, ...]) -> str:
        """The keys; of stacks the innermost frames."""
        from tracescope.attach.counting.text import place_words
        from tracescope.attach.symbols.stacks import Stack

        stacks = [key for key in row_keys if isinstance(key, Stack)]
        frames = [frame.folded for stack in stacks for frame in self._session.symbols.frames(stack)]
        plain = place_words(self._session.plan, probe, row_keys)  # type: ignore[arg-type]
        if stacks and len(stacks) == len(row_keys) and len(self._session.plan.plan.probes) == 1:
            plain = ""
        return f"{plain}  {printable(' ← '.join(frames) or '(no stack)')}".strip() if stacks else plain

    def _row(self, row: SummaryRow) -> CountRow:
        return CountRow(row.count, row.total, row.low, row.high, self._words(row.probe, row.keys), row.place)

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """A table sorts; a histogram has another view."""
        if action in ("sort", "reverse"):
            return not self._scaled
        return action != "next_view" or self._scaled

    @on(RowList.Chosen, "CountTable")
    def _open(self) -> None:
        """A row in full: all frames of its stacks."""
        chosen = self.table.selected
        row = next((row for row in self._rows if chosen is not None and row.place == chosen.identity), None)
        if row is None:
            return
        from tracescope.attach.counting.text import summary_lines

        lines = summary_lines(self._session.plan, [row], self._session.symbols.frames)
        self.app.push_screen(TextScreen("what was counted under one key", Content("\n".join(lines))))

    def action_next_view(self) -> None:
        """The histograms, or the heat map of all keys together."""
        self._show_view(heat=not self.heat.display, place=None)

    @on(RowList.Chosen, "BarList")
    def _open_heat(self) -> None:
        """The heat map of the key under the cursor."""
        one = self.bars.selected
        if one is not None:
            self._show_view(heat=True, place=one.place)

    @on(HeatMap.Stepped)
    def _step(self, event: HeatMap.Stepped) -> None:
        """All keys together, then each of the histograms, the largest first, and round again."""
        places = [None, *(one.place for one in self._found)]
        at = places.index(self._slices.chosen) if self._slices.chosen in places else 0
        self._show_view(heat=True, place=places[(at + event.step) % len(places)])

    def _show_view(self, *, heat: bool, place: Place | None) -> None:
        self._slices.chosen = place
        self.heat.show_key(place)
        self.heat.display = heat
        self._whose.display = heat and self._keyed
        self.bars.display = not heat
        (self.heat if heat else self.bars).focus()
        self.call_after_refresh(self._show_heat)

    def _show_heat(self) -> None:
        """Draw the heat map anew, and say whose it is."""
        self.heat.show_slices()
        if self._whose.display:
            self._whose.update(Content.assemble(*self._whose_words()), layout=False)

    def _whose_words(self) -> Iterator[tuple[str, str]]:
        place = self._slices.chosen
        if place is None:
            yield f"{self._measured} of all keys together", "$text-primary"
            yield "  → one key alone", "dim"
            return
        gaps = f"  · not kept: only of the {self._slices.keys} largest keys" if self.heat.gaps else ""
        words = f"{self._measured} of {self._words(*place)}"
        yield fit(words, min(cell_len(words), self.size.width - len(gaps))), "$text-primary"
        yield gaps, "$text-warning"

    @property
    def _measured(self) -> str:
        """What falls into the buckets, as the user wrote it."""
        text = self._options.hist or (self._options.lhist or "").rsplit(":", 3)[0]
        return printable(text)

    def action_sort(self) -> None:
        """Sort by the next column."""
        self.table.sort_next()

    def action_reverse(self) -> None:
        """Sort by the same column the other way round."""
        self.table.sort_by(self.table.sorted_by)

    def action_copy(self) -> None:
        """Copy everything that was counted, as `attach` prints it."""
        from tracescope.attach.counting.text import summary_lines

        lines = summary_lines(self._session.plan, self._rows, self._session.symbols.frames, self._top)
        self.app.copy_to_clipboard("\n".join(lines))
        self.notify(f"copied {amount(len(lines), 'line')}", markup=False)

    def on_unmount(self) -> None:
        """Detach, however the screen is left."""
        threading.Thread(target=self._session.stop, name="detach").start()

    def action_close(self) -> None:
        """Back to the screen before."""
        self.dismiss()

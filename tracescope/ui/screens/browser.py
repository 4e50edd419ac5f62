"""The browser: filter line, facets, probe table and the selected probe's detail."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input

from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.ui import keys
from tracescope.ui.attachable import Check, attachable_as, refusal
from tracescope.ui.detail_text import attach_words
from tracescope.ui.messages import DetailReady, FacetsReady, ViewReady
from tracescope.ui.screens.detail import DetailActions, DetailScreen
from tracescope.ui.screens.probes import ProbesScreen
from tracescope.ui.widgets.detail import DetailPane
from tracescope.ui.widgets.facets import Facets
from tracescope.ui.widgets.filter import FilterInput, FilterLine
from tracescope.ui.widgets.key_line import KeyLine
from tracescope.ui.widgets.rows import RowList
from tracescope.ui.widgets.status import StatusLine
from tracescope.ui.widgets.table import ProbeTable

if TYPE_CHECKING:
    from tracescope.catalog.detail import Detail
    from tracescope.catalog.store import Catalog, Row
    from tracescope.catalog.view import View

__all__ = ("BrowserScreen",)

_SETTLE = 0.1
"""Seconds without a change before the facets are counted again."""


class BrowserScreen(ProbesScreen):
    """What can be traced here."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.BROWSER)
    AUTO_FOCUS = "FilterInput"

    def __init__(self, host: Host, check: Check = lambda: None, *, attach_key: str = "a") -> None:
        super().__init__(host)
        self._check = check
        self._attach_key = attach_key
        self._searching = False
        self._settle: Timer | None = None

    def compose(self) -> ComposeResult:
        """The panes; the style sheet places them by the terminal's size."""
        yield FilterLine("words, globs, kind: group: module: type:, -word excludes")
        with Container(id="panes"):
            yield Facets()
            with Container(id="probes"):
                yield ProbeTable()
                yield DetailPane()
        yield StatusLine(self._host.label)
        yield KeyLine()

    def show_catalog(self, catalog: Catalog) -> None:
        """Take a fuller catalog; filter and cursor stay."""
        self._catalog = catalog
        if not self.query(FilterInput):
            # The screen is being taken down: nobody looks any more.
            return
        self.refresh_bindings()
        self._filter()

    @on(Input.Changed)
    def _filter(self) -> None:
        """Search what the filter line says; while one search runs, what is typed waits for its end."""
        if self._catalog is not None and not self._searching:
            self._searching = True
            self._search(self._catalog, self.input.value, self.table.view)

    @work(thread=True, group="search")
    def _search(self, catalog: Catalog, text: str, previous: View | None) -> None:
        self.post_message(ViewReady(text, catalog.view(text, previous)))

    @on(ViewReady)
    def _show_view(self, event: ViewReady) -> None:
        """Show what was found; count the facets when the typing pauses."""
        self._searching = False
        self.table.show_view(event.view)
        self.count_rows()
        if event.text != self.input.value or event.view.catalog is not self._catalog:
            self._filter()
        else:
            if self._settle is not None:
                self._settle.stop()
            self._settle = self.set_timer(_SETTLE, self._count_facets)

    def on_resize(self) -> None:
        """Facets that were hidden may be seen now."""
        self.call_after_refresh(self._count_facets)

    def _count_facets(self) -> None:
        if self.query_one(Facets).display and self.table.view is not None:
            self._count(self.input.value, self.table.view)

    @work(thread=True, exclusive=True, group="facets")
    def _count(self, text: str, view: View) -> None:
        self.post_message(FacetsReady(text, view.facets()))

    @on(FacetsReady)
    def _show_facets(self, event: FacetsReady) -> None:
        self.query_one(Facets).show_counts(event.counts, event.text)

    @on(Facets.Toggled)
    def _toggle_term(self, event: Facets.Toggled) -> None:
        from tracescope.catalog.query import toggle

        self.input.value = toggle(self.input.value, event.key, event.value)

    @on(FilterInput.Left)
    def _leave_filter(self) -> None:
        self.table.focus()

    @on(RowList.Moved, "ProbeTable")
    def _select(self) -> None:
        row, view = self.table.selected, self.table.view
        if row is None:
            self._detail = None
            self.query_one(DetailPane).show(None)
        elif view is not None:
            # A row's entry is a place in its own catalog: not in the fuller one that may have come since.
            self._describe(view.catalog, row)

    @work(thread=True, exclusive=True, group="detail")
    def _describe(self, catalog: Catalog, row: Row) -> None:
        from tracescope.catalog.detail import describe

        try:
            detail: Detail | TraceScopeError = describe(catalog, row)
        except TraceScopeError as error:
            detail = error
        self.post_message(DetailReady(catalog, row, detail, refusal(self._host, catalog, row, self._check)))

    @on(DetailReady)
    def _show_detail(self, event: DetailReady) -> None:
        selected, view = self.table.selected, self.table.view
        # What an older catalog knows may come after what the newer one does.
        if (
            selected is not None
            and selected.key == event.row.key
            and view is not None
            and view.catalog is event.catalog
        ):
            self._detail = event
            self.query_one(DetailPane).show(event.detail, self._attach_words(event))

    def _attach_words(self, event: DetailReady) -> Content:
        name = attachable_as(event.catalog, event.row)
        return attach_words(event.refusal, event.row.probe, name, self._attach_key)

    @on(RowList.Chosen, "ProbeTable")
    def _open_detail(self) -> None:
        if self._detail is not None:
            event = self._detail
            actions = DetailActions(self.action_types, self.action_attach, self.action_export)
            self.app.push_screen(DetailScreen(event.row.probe, event.detail, self._attach_words(event), actions))

    def action_filter(self) -> None:
        """Go to the filter line."""
        self.input.focus()

    def action_back(self) -> None:
        """From the table or the facets to the filter line."""
        self.input.focus()

    def action_toggle_facets(self) -> None:
        """Show or hide the facets."""
        facets = self.query_one(Facets)
        facets.display = not facets.display
        self._count_facets()
        (facets if facets.display else self.table).focus()

    def action_toggle_detail(self) -> None:
        """Show or hide the detail pane."""
        pane = self.query_one(DetailPane)
        pane.display = not pane.display

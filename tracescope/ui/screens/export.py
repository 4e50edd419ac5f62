"""Probes as a program for another tracer: a preview in four forms, to be copied or saved."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.binding import BindingType
from textual.content import Content
from textual.highlight import highlight
from textual.widgets import Static

from tracescope.attach.ask.options import AttachOptions
from tracescope.attach.kernel.transport import Transport
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.detail_text import error_text
from tracescope.ui.messages import ExportReady
from tracescope.ui.screens.ask import AskScreen
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.screens.text import TextScreen

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog

__all__ = ("ExportScreen",)

_FORMS = (
    ("bpftrace script", "bpftrace", False),
    ("bpftrace line", "bpftrace", True),
    ("BCC", "bcc", False),
    ("libbpf", "libbpf", False),
)
_LANGUAGES = {".c": "c", ".h": "c", ".bt": "c", ".py": "python", ".sh": "bash", ".md": "markdown"}


class ExportScreen(TextScreen):
    """What `tracescope export` writes."""

    BINDINGS: ClassVar[list[BindingType]] = [*keys.EXPORT, *keys.TEXT]

    def __init__(self, host: Host, catalog: Catalog | None, probes: Sequence[str], options: AttachOptions) -> None:
        super().__init__("", Content("is being written …"), copied="")
        self._host, self._catalog, self._probes, self._options = host, catalog, probes, options
        self._form = 0
        self._transport: Transport | None = None
        self._carried: Transport | None = None
        self._files: dict[str, str] = {}

    def on_mount(self) -> None:
        """Begin with bpftrace."""
        self._begin()

    def _begin(self) -> None:
        self._files = {}
        self._show_title()
        self._write(self._form, self._transport)

    def _show_title(self, transport: Transport | None = None) -> None:
        """The forms, the chosen one in brackets; what carries its events; the probes."""
        shown = " ".join(f"[{name}]" if at == self._form else f" {name} " for at, (name, *_) in enumerate(_FORMS))
        more = f" and {len(self._probes) - 1} more" if len(self._probes) > 1 else ""
        asked = "  with options" if self._options != AttachOptions() else ""
        by = f"  by {transport}" if transport else ""
        self.query_one(".title", Static).update(Content(printable(f"{shown}{by}  {self._probes[0]}{more}{asked}")))

    @work(thread=True, exclusive=True, group="export")
    def _write(self, at: int, transport: Transport | None) -> None:
        from tracescope.export.make import export_files, open_tracer

        _, form, one_line = _FORMS[at]
        carried = None
        try:
            tracer = open_tracer(self._host, self._probes, self._options, self._catalog, transport)
            files: dict[str, str] | TraceScopeError = export_files(self._host, tracer, form, one_line=one_line)
            carried = None if form == "bpftrace" or tracer.counts else tracer.transport
        except TraceScopeError as error:
            files = error
        self.post_message(ExportReady(at, files, carried))

    @on(ExportReady)
    def _show(self, event: ExportReady) -> None:
        """The texts, or why there are none; what an earlier choice gave comes too late."""
        if event.form != self._form or (self._transport and event.transport not in (None, self._transport)):
            return
        self._show_title(event.transport)
        self._carried = event.transport
        if isinstance(event.files, TraceScopeError):
            text = error_text(event.files)
            self._copied = text.plain
        else:
            self._files = event.files
            text = Content("\n").join(_coloured(name, text) for name, text in event.files.items())
            self._copied = "\n".join(event.files.values())
        self.query_one("#text", Static).update(text)

    def action_form(self, step: int) -> None:
        """The next form, or the one before."""
        self._form = (self._form + step) % len(_FORMS)
        self._begin()

    def action_buffer(self) -> None:
        """The other of ring buffer and perf buffer, where the form has one."""
        if self._carried:
            self._transport = Transport.PERF if self._carried is Transport.RING else Transport.RING
            self._begin()

    def action_save(self) -> None:
        """Ask for a folder, and write the files into it."""
        if self._files:
            names = ", ".join(self._files)
            question = f"Write {names} into which folder?"
            self.app.push_screen(AskScreen(question, "."), self._save)

    def _save(self, folder: str | None) -> None:
        from tracescope.export.make import write_files

        if not folder:
            return
        try:
            written = write_files(Path(os.path.expanduser(folder)), self._files)
        except TraceScopeError as error:
            self.app.push_screen(RefusalScreen(error))
            return
        self.notify(f"written: {', '.join(map(str, written))}", markup=False)


def _coloured(name: str, text: str) -> Content:
    """A file under its name, in its language's colours."""
    lines = "\n".join(map(printable, text.expandtabs(4).splitlines()))
    language = _LANGUAGES.get(Path(name).suffix, "make" if name == "Makefile" else "text")
    return Content.assemble((f"── {name}\n", "bold"), highlight(lines, language=language), "\n")

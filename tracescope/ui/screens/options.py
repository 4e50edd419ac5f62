"""The dialog before attaching: whose events, which of them, in which form. Says where a text is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tracescope.attach.ask.options import FILTER_NAMES, AttachOptions, OptionError, read_filters
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.detail_text import error_text
from tracescope.ui.messages import AttachWanted, ExportWanted, OptionsChosen
from tracescope.ui.widgets.cycle import Cycle
from tracescope.ui.widgets.key_line import KeyLine

__all__ = ("OptionsScreen",)

_HINTS = {
    "pid": "only these processes: 4242, 17",
    "tree": "these processes and their descendants",
    "uid": "only these users: root, 1000",
    "comm": "only these command names",
    "cgroup": "a control group and those below it: /system.slice",
    "where": "a condition: args.ret < 0 && args.fd == 3",
    "show": "values to show: args.filename, pid",
}
_MODES = {
    "every event": ("", ""),
    "count": ("count", ""),
    "histogram": ("hist", "of which value: duration_ns, args.count"),
    "steps": ("lhist", "VALUE:LOW:HIGH:STEP: args.count:0:4K:256"),
    "sum": ("sum", "of which value: args.count, ret"),
}
_COUNTING = {
    "by": "count by these keys: comm, args.fd",
    "top": "show only so many of the largest: 20",
    "every": "seconds a column of the heat map: 1",
}
_STACKS = {"no": "", "kernel": "kernel", "user": "user", "both": "both"}
_MORE = ("where", "show")


class OptionsScreen(ModalScreen[None]):
    """Stays until the session is there, or the user leaves."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.OPTIONS)
    AUTO_FOCUS = "#pid"

    def __init__(self, host: Host, probes: Sequence[str]) -> None:
        super().__init__()
        self._host = host
        self._probes = probes

    def compose(self) -> ComposeResult:
        """A line an option, the problem below."""
        with VerticalScroll(id="options"):
            yield Static(self._title(), id="options-title", markup=False)
            for name in FILTER_NAMES:
                yield from _line(name, Input(placeholder=_HINTS[name], compact=True, id=name))
            yield from _line("pair", Cycle(["each alone", "entry and return as one event"], id="pair"))
            for name in _MORE:
                yield from _line(name, Input(placeholder=_HINTS[name], compact=True, id=name))
            yield from _line("give", Cycle(list(_MODES), id="mode"))
            yield from _line("of", Input(compact=True, id="mode-of"))
            yield from _line("by", Input(placeholder=_COUNTING["by"], compact=True, id="by"))
            yield from _line("stack", Cycle(list(_STACKS), id="stack"))
            for name in ("top", "every"):
                yield from _line(name, Input(placeholder=_COUNTING[name], compact=True, id=name))
            yield Static("", id="problem", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """Every event: there is nothing to say about that."""
        self._show_mode()

    def _title(self) -> Content:
        first = printable(self._probes[0])
        more = f" and {len(self._probes) - 1:,} more" if len(self._probes) > 1 else ""
        return Content.assemble(("attach ", "bold"), (first, "bold $text-success"), (more, "bold"))

    @on(Cycle.Changed, "#mode")
    def _show_mode(self) -> None:
        _, hint = _MODES[self.query_one("#mode", Cycle).value]
        of_mode = self.query_one("#mode-of", Input)
        of_mode.placeholder = hint
        of_mode.disabled = not hint
        counts = self.query_one("#mode", Cycle).chosen > 0
        for name in _COUNTING:
            self.query_one(f"#{name}", Input).disabled = not counts
        self.query_one("#stack", Cycle).disabled = not counts

    def action_attach(self) -> None:
        """Read the options; what is right goes on to the app."""
        try:
            options = self._read()
        except TraceScopeError as error:
            self.show_error(error)
        else:
            self._say(Content.styled("attaching…", "$text-primary"))
            self.post_message(OptionsChosen(options))
            self.post_message(AttachWanted(self._probes, options))

    def action_export(self) -> None:
        """Show the same as a program for another tracer; the dialog stays."""
        try:
            options = self._read()
        except TraceScopeError as error:
            self.show_error(error)
        else:
            self.post_message(OptionsChosen(options))
            self.post_message(ExportWanted(self._probes, options))

    def _read(self) -> AttachOptions:
        texts = {name: self._text(name) for name in FILTER_NAMES}
        mode, hint = _MODES[self.query_one("#mode", Cycle).value]
        of_mode = self._text("mode-of").strip()
        if hint and not of_mode:
            raise OptionError("mode-of", 0, f"{mode} needs a value", "", hint)
        if mode and self._text("show").strip():
            raise OptionError(
                "show", 0, "values to show are of single events", "here the kernel counts", "leave it out"
            )
        return AttachOptions(
            filters=read_filters(self._host, texts),
            pair=self.query_one("#pair", Cycle).chosen == 1,
            where=self._text("where").strip(),
            show=tuple(word for part in self._text("show").split(",") if (word := part.strip())),
            **(self._counting(mode, of_mode) if mode else {}),
        )

    def _counting(self, mode: str, value: str) -> dict[str, Any]:
        """What is counted, in the names of AttachOptions."""
        return {
            "count": True,
            "count_by": self._text("by").strip(),
            "stack": _STACKS[self.query_one("#stack", Cycle).value],
            "top": int(self._number("top", r"[1-9][0-9]{0,6}", "a number from 1 on") or 0),
            "interval": float(self._number("every", r"(?=.*[1-9])[0-9]{1,5}(\.[0-9]{1,3})?", "seconds: 0.5, 10") or 0),
        } | ({} if mode == "count" else {mode: value})

    def _number(self, name: str, form: str, fix: str) -> str:
        text = self._text(name).strip()
        if text and not re.fullmatch(form, text, re.ASCII):
            raise OptionError(name, 0, f"{text!r} cannot be understood", "", fix)
        return text

    def _text(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value

    def show_error(self, error: TraceScopeError) -> None:
        """Say what is wrong; a mistake in a text is pointed at, and the cursor is put there."""
        words = error_text(error)
        if isinstance(error, OptionError):
            mode, _ = _MODES[self.query_one("#mode", Cycle).value]
            field = self.query_one(f"#{'mode-of' if error.option == mode else error.option}", Input)
            field.focus()
            field.cursor_position = error.at
            if field.value:
                words = Content("\n").join([*_pointed(field.value, error.at), words])
        self._say(words)

    def _say(self, words: Content) -> None:
        problem = self.query_one("#problem", Static)
        problem.update(words)
        problem.scroll_visible(animate=False)

    def action_move(self, step: int) -> None:
        """Go to another line."""
        (self.focus_next if step > 0 else self.focus_previous)("Input, Cycle")

    def action_close(self) -> None:
        """Attach nothing."""
        self.dismiss()


def _line(name: str, widget: Input | Cycle) -> Iterator[Horizontal]:
    yield Horizontal(Static(f"{name:>7} ", classes="option-name", markup=False), widget, classes="option")


def _pointed(text: str, at: int) -> Iterator[Content]:
    """The text, and an arrow below the place."""
    before = printable(text[:at])
    yield Content(printable(text))
    yield Content.styled(f"{' ' * len(before)}▲", "$text-error")

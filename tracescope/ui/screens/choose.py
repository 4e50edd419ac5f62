"""Which probe to take for a purpose: words in, probes of this host out, best first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from tracescope.catalog.detail import has_probe
from tracescope.catalog.topics import Choice, choose, load_topics
from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.look import fit
from tracescope.ui.messages import ChoicesReady
from tracescope.ui.widgets.filter import FilterInput, FilterLine
from tracescope.ui.widgets.key_line import KeyLine
from tracescope.ui.widgets.rows import Part, RowList

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog

__all__ = ("ChoiceList", "ChooseScreen")


class ChoiceList(RowList):
    """One line a probe; one line a topic where no probe is named."""

    def __init__(self) -> None:
        super().__init__()
        self.choices: Sequence[Choice] = ()

    @property
    def row_count(self) -> int:
        """The choices."""
        return len(self.choices)

    @property
    def selected(self) -> Choice | None:
        """The choice under the cursor."""
        return self.choices[self.cursor] if self.choices else None

    def show_choices(self, choices: Sequence[Choice]) -> None:
        """Take another answer."""
        self.choices = choices
        self.empty_text = "no topic is like this: try a tool's name, such as execsnoop"
        self.reset_rows(0)
        self.post_message(self.Moved(self, self.cursor))

    def header_parts(self, width: int) -> Iterator[Part]:
        """The column titles."""
        topic, probe = _columns(width)
        yield fit("topic", topic) + " " + fit("probe", probe) + " why", ""

    def row_parts(self, index: int, width: int) -> Iterator[Part]:
        """One choice; a topic is named at its first probe only."""
        choice = self.choices[index]
        topic, probe = _columns(width)
        goes_on = index > 0 and self.choices[index - 1].topic == choice.topic
        yield fit("" if goes_on else choice.title, topic) + " ", ""
        name = choice.probe or ("⏎ shows its probes" if choice.near else "not on this host")
        yield fit(printable(name), probe) + " ", "rows--typed" if choice.probe else "rows--dim"
        yield fit(printable(choice.why), max(0, width - topic - probe - 2)), "rows--dim"


class ChooseScreen(Screen[str]):
    """Gives the probe that was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.CHOOSE)
    AUTO_FOCUS = "FilterInput"

    def __init__(self, catalog: Catalog) -> None:
        super().__init__()
        self._catalog = catalog
        self._words: list[str] = []

    def compose(self) -> ComposeResult:
        """Words, answer, the selected choice in full."""
        yield FilterLine("what do you look for? short-lived processes, tcp retransmit, execsnoop")
        yield ChoiceList()
        yield Static("", id="choice", markup=False)
        yield KeyLine()

    @property
    def table(self) -> ChoiceList:
        """The answer."""
        return self.query_one(ChoiceList)

    def on_mount(self) -> None:
        """Begin with every topic."""
        self._ask()

    @on(Input.Changed)
    def _ask(self) -> None:
        self._words = self.query_one(FilterInput).value.split()
        self._choose(self._words)

    @work(thread=True, exclusive=True, group="choose")
    def _choose(self, words: list[str]) -> None:
        choices = choose(words, has_probe(self._catalog)) if words else _every_topic()
        self.post_message(ChoicesReady(words, choices))

    @on(ChoicesReady)
    def _show(self, event: ChoicesReady) -> None:
        if event.words == self._words:
            self.table.show_choices(event.choices)
            self.query_one(FilterLine).show_hits(f"{len(event.choices)} ")

    @on(RowList.Moved)
    def _explain(self) -> None:
        choice = self.table.selected
        parts: list[tuple[str, str] | str] = []
        if choice is not None:
            parts = [(printable(choice.probe or choice.title), "bold"), "\n", printable(choice.why)]
            parts += ["\n", ("watch  ", "dim"), (printable(choice.watch), "$text-warning")] if choice.watch else []
        self.query_one("#choice", Static).update(Content.assemble(*parts))

    @on(FilterInput.Left)
    def _leave(self) -> None:
        self.table.focus()

    @on(RowList.Chosen)
    def _take(self) -> None:
        choice = self.table.selected
        if choice is not None and choice.probe:
            self.dismiss(choice.probe)
        elif choice is not None:
            self.query_one(FilterInput).value = choice.title

    def action_filter(self) -> None:
        """Go to the words."""
        self.query_one(FilterInput).focus()

    def action_close(self) -> None:
        """Back to the screen before."""
        self.app.pop_screen()


def _every_topic() -> list[Choice]:
    return [
        Choice(rank, topic.id, topic.title, "", topic.why, topic.watch, near=True)
        for rank, topic in enumerate(load_topics(), 1)
    ]


def _columns(width: int) -> tuple[int, int]:
    """The widths of topic and probe; why takes the rest."""
    return min(30, width // 3), min(46, width // 2)

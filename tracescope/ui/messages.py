"""What workers and widgets tell the app. Workers only post these; `@on` handlers change the widgets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from tracescope.model import SourceReport, SourceState

if TYPE_CHECKING:
    from tracescope.attach.ask.options import AttachOptions
    from tracescope.attach.counting.session import SummarySession
    from tracescope.attach.event_session import EventSession
    from tracescope.attach.kernel.transport import Transport
    from tracescope.catalog.detail import Detail
    from tracescope.catalog.store import Catalog, Row
    from tracescope.catalog.topics import Choice
    from tracescope.catalog.view import View
    from tracescope.errors import TraceScopeError
    from tracescope.snapshot import SnapshotReport
    from tracescope.ui.screens.event import EventScreen

__all__ = (
    "AttachWanted",
    "CatalogReady",
    "ChoicesReady",
    "CountingOpened",
    "DetachWanted",
    "DetailReady",
    "DiffReady",
    "EventsSaved",
    "ExportReady",
    "ExportWanted",
    "FacetsReady",
    "OptionsChosen",
    "SessionFailed",
    "SessionOpened",
    "SnapshotEnded",
    "SourceChanged",
    "ViewReady",
    "WordsReady",
    "WorkDone",
)


@dataclass
class SourceChanged(Message):
    """A source's state or count changed."""

    report: SourceReport

    def can_replace(self, message: Message) -> bool:
        """Only the newest progress of a source matters."""
        return (
            isinstance(message, SourceChanged)
            and message.report.name == self.report.name
            and message.report.state is SourceState.READING
        )


@dataclass
class CatalogReady(Message):
    """A catalog that holds more than the one before."""

    catalog: Catalog

    def can_replace(self, message: Message) -> bool:
        """The newest catalog holds everything that the older ones hold."""
        return isinstance(message, CatalogReady)


@dataclass
class ViewReady(Message):
    """What the filter line's text selects."""

    text: str
    view: View


@dataclass
class FacetsReady(Message):
    """The counts of the view that the text selects."""

    text: str
    counts: dict[str, list[tuple[str, int]]]


@dataclass
class DetailReady(Message):
    """What a catalog knows of the row that was selected."""

    catalog: Catalog
    row: Row
    detail: Detail | TraceScopeError
    refusal: TraceScopeError | None
    """Why the row cannot be attached."""


@dataclass
class ChoicesReady(Message):
    """The topics and probes that these words ask for."""

    words: list[str]
    choices: Sequence[Choice]


@dataclass
class DiffReady(Message):
    """The lines of a diff, or why there are none."""

    lines: Sequence[str] | TraceScopeError


@dataclass
class ExportReady(Message):
    """The files of an export by name, or why there are none; `form` is the number of what was asked for."""

    form: int
    files: dict[str, str] | TraceScopeError
    transport: Transport | None = None
    """What carries the events of these programs; None: nothing that could be chosen."""


@dataclass
class WorkDone(Message):
    """How far a snapshot is, in files."""

    path: str
    done: int
    total: int

    def can_replace(self, message: Message) -> bool:
        """Only the newest progress matters."""
        return isinstance(message, WorkDone)


@dataclass
class SnapshotEnded(Message):
    """What was written, or why it was not."""

    report: SnapshotReport | TraceScopeError


@dataclass
class AttachWanted(Message):
    """Attach these probes, by their full names, as one session."""

    probes: Sequence[str]
    options: AttachOptions | None = None
    sure: bool = False
    """The user was asked whether so many are wanted."""


@dataclass
class OptionsChosen(Message):
    """The dialog's options are complete: an export takes them too."""

    options: AttachOptions


@dataclass
class ExportWanted(Message):
    """Show these probes as a program for another tracer; without options, with those last chosen in the dialog."""

    probes: Sequence[str]
    options: AttachOptions | None = None


@dataclass
class DetachWanted(Message):
    """Stop the session that holds this probe."""

    probe: str


@dataclass
class SessionOpened(Message):
    """A session for these probes is starting; its `state` tells how far it is."""

    probes: Sequence[str]
    session: EventSession
    refused: Sequence[tuple[str, TraceScopeError]] = ()
    """Probes that were wanted with it and cannot be attached."""
    options: AttachOptions | None = None
    """What was asked of it."""


@dataclass
class CountingOpened(Message):
    """A session that counts in the kernel is starting."""

    probes: Sequence[str]
    session: SummarySession
    refused: Sequence[tuple[str, TraceScopeError]]
    options: AttachOptions
    """What was asked of it."""


@dataclass
class SessionFailed(Message):
    """No session could be opened for these probes."""

    probes: Sequence[str]
    error: TraceScopeError


@dataclass
class WordsReady(Message):
    """A session can say its events in the kernel's words; `screen` waits for those of `record`."""

    session: EventSession
    screen: EventScreen | None = None
    record: bytes = b""


@dataclass
class EventsSaved(Message):
    """Events were written to a file; or why they were not."""

    path: str
    count: int
    error: TraceScopeError | None = None

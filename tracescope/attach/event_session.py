"""What every backend's session can do: the command line and the screen know no more of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, Self, TypeVar

from tracescope.attach.cost import Cost
from tracescope.attach.decode.events import Event
from tracescope.attach.governor import Governor
from tracescope.attach.life import Counts, SessionState
from tracescope.attach.plan import Plan
from tracescope.attach.record.layout import PlannedProbe
from tracescope.errors import AttachError, TraceScopeError

__all__ = ("EventSession", "RecordSession")

EventT_co = TypeVar("EventT_co", covariant=True)


class RecordSession(Protocol[EventT_co]):
    """Hands over records, each of which is an event; `start()` returns at once, `stop()` detaches and waits."""

    @property
    def backend(self) -> str:
        """The name of the backend."""
        ...

    @property
    def chosen(self) -> str:
        """Why it is this one; empty where nobody chose."""
        ...

    @property
    def state(self) -> SessionState:
        """Where it is in its life."""
        ...

    @property
    def timings(self) -> Mapping[SessionState, float]:
        """Seconds spent in each state that is over."""
        ...

    @property
    def error(self) -> TraceScopeError | None:
        """Why it failed."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """Detach, read what is left, wait for the end."""
        ...

    def wait_running(self, timeout: float | None = None) -> None:
        """Return when events flow; raises what went wrong."""
        ...

    def take(self, limit: int | None = None) -> list[bytes]:
        """Up to `limit` records, oldest first."""
        ...

    def decode(self, record: bytes) -> EventT_co:
        """The event in a record."""
        ...

    def counts(self) -> Counts:
        """The counters as they are now; exact after `stop()`."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class EventSession(RecordSession[Event], Protocol):
    """A session of probes."""

    @property
    def plan(self) -> Plan:
        """The probes and the filters."""
        ...

    @property
    def program_text(self) -> str:
        """What the backend was given."""
        ...

    @property
    def remarks(self) -> Sequence[str]:
        """What turned out on the way, for people; complete when the session has ended."""
        ...

    @property
    def failed(self) -> Sequence[tuple[PlannedProbe, AttachError]]:
        """The probes that could not be attached."""
        ...

    @property
    def governor(self) -> Governor | None:
        """What leaves events out when the reader cannot keep up."""
        ...

    def costs(self) -> tuple[Cost, ...]:
        """What each probe's programs cost so far; empty when that is not known."""
        ...

    @property
    def has_words(self) -> bool:
        """`words` answers at once."""
        ...

    def prepare_words(self) -> None:
        """Read what the words need of the host: takes a second or two, once. For any thread."""
        ...

    def words(self, record: bytes) -> str | None:
        """The record in the kernel's own words (its `print fmt`); None where there are none."""
        ...

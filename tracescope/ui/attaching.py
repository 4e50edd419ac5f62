"""The half of the application that attaches: from names to a running session, and to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import App
from textual.content import Content

from tracescope.collecting import Collecting
from tracescope.errors import Refused, TraceScopeError
from tracescope.host import Host
from tracescope.ui import messages
from tracescope.ui.attachable import targets_of
from tracescope.ui.costs import Costs
from tracescope.ui.count import count_in_kernel
from tracescope.ui.feed import Asking, Feed, probes_of
from tracescope.ui.key_first import KeyFirst
from tracescope.ui.look import amount
from tracescope.ui.screens.confirm import ConfirmScreen
from tracescope.ui.screens.refusal import RefusalScreen

if TYPE_CHECKING:
    from tracescope.attach.ask.options import AttachOptions
    from tracescope.attach.cost import RunStats
    from tracescope.attach.event_session import EventSession
    from tracescope.attach.targets.target import Target
    from tracescope.catalog.store import Catalog
    from tracescope.ui.screens.live import LiveScreen

__all__ = ("Attaching", "Open")

Open = Callable[[Host, "Sequence[Target]", "AttachOptions"], "EventSession"]


class Attaching(App[int], inherit_bindings=False):
    """Sessions and the live screen. `open_session` and `open_stats` are the doors to the kernel."""

    def __init__(
        self, host: Host, *, live_rows: int, open_session: Open, open_stats: Callable[[], RunStats], backend: str
    ) -> None:  # fmt: skip
        super().__init__()
        self.feed = Feed(live_rows)
        self.costs = Costs(open_stats)
        self.collecting = Collecting()
        self.key_first = KeyFirst()
        self._host = host
        self._open = open_session
        self._backend = backend
        self._catalog: Catalog | None = None
        self._live: LiveScreen | None = None
        self._waiting: messages.AttachWanted | None = None
        """What is to be attached when the first catalog is there."""
        self._opening: set[str] = set()
        self._states: dict[EventSession, str] = {}
        self._options: AttachOptions | None = None
        """What was last chosen in the dialog."""

    def on_unmount(self) -> None:
        """What comes after the application is none of its business."""
        self.collecting.end()

    def _catalog_came(self, catalog: Catalog) -> None:
        self._catalog = catalog
        if self._waiting is not None:
            self.post_message(self._waiting)
            self._waiting = None

    @on(messages.ExportWanted)
    def _export(self, wanted: messages.ExportWanted) -> None:
        from tracescope.attach.ask.options import AttachOptions
        from tracescope.ui.screens.export import ExportScreen

        options = wanted.options or self._options or AttachOptions()
        self.push_screen(ExportScreen(self._host, self._catalog, wanted.probes, options))

    @on(messages.OptionsChosen)
    def _keep_options(self, event: messages.OptionsChosen) -> None:
        self._options = event.options

    @on(messages.AttachWanted)
    def _start_session(self, wanted: messages.AttachWanted) -> None:
        """Open a session for what is not attached yet, and show its events; wait for the first catalog."""
        if self._catalog is None:
            self._waiting = wanted
            self.notify("attaches as soon as the tracepoints are read", markup=False)
            return
        from tracescope.attach.targets.find import MANY

        probes = [probe for probe in wanted.probes if probe not in self.feed.probes | self._opening]
        if len(probes) > MANY and not wanted.sure:
            again = messages.AttachWanted(probes, wanted.options, sure=True)
            self.push_screen(ConfirmScreen(_question(probes)), partial(self._answered, again))
            return
        if not probes and wanted.options is not None:
            error = Refused("nothing to attach", "it is attached already", "leave, and detach it first: a on its row")
            self._session_failed(messages.SessionFailed((), error))
            return
        if probes:
            from tracescope.attach.ask.options import AttachOptions

            self._opening.update(probes)
            self._open_session(self._catalog, probes, wanted.options or AttachOptions())
        # Options that are wrong are mended where they were typed.
        if wanted.options is None:
            self.action_live()

    def _answered(self, wanted: messages.AttachWanted, sure: bool | None) -> None:
        if sure:
            self.post_message(wanted)

    @work(thread=True, group="sessions")
    def _open_session(self, catalog: Catalog, probes: Sequence[str], options: AttachOptions) -> None:
        try:
            found = targets_of(self._host, catalog, probes, options)
            if options.counts:
                counting = count_in_kernel(self._host, found.targets, options, backend=self._backend)
                counting.start()
                self.post_message(messages.CountingOpened(probes, counting, found.refused, options))
                return
            session = self._open(self._host, found.targets, options)
        except TraceScopeError as error:
            self.post_message(messages.SessionFailed(probes, error))
        else:
            session.start()
            self.post_message(messages.SessionOpened(probes, session, found.refused, options))

    @on(messages.SessionOpened)
    async def _add_session(self, event: messages.SessionOpened) -> None:
        from tracescope.ui.screens.options import OptionsScreen

        self._opening.difference_update(event.probes)
        self.feed.add(event.session, event.refused, Asking(event.probes, event.options))
        if isinstance(self.screen, OptionsScreen):
            self.screen.dismiss()
            self.action_live()
        self._session_opened()
        await self._tick()

    @on(messages.CountingOpened)
    def _show_counting(self, event: messages.CountingOpened) -> None:
        from tracescope.ui.screens.counting import CountingScreen
        from tracescope.ui.screens.options import OptionsScreen

        self._opening.difference_update(event.probes)
        for name, error in event.refused[:3]:
            self.notify(f"{name}: {error}", severity="error", markup=False)
        if isinstance(self.screen, OptionsScreen):
            self.screen.dismiss()
        self.push_screen(CountingScreen(event.session, event.probes, event.options))

    @on(messages.SessionFailed)
    def _session_failed(self, event: messages.SessionFailed) -> None:
        from tracescope.ui.screens.options import OptionsScreen

        self._opening.difference_update(event.probes)
        if isinstance(self.screen, OptionsScreen):
            self.screen.show_error(event.error)
            return
        # A live screen with nothing in it is no place to read this.
        if self.screen is self._live and not self.feed.sessions and not self.feed.end and not self._opening:
            self.pop_screen()
        self.push_screen(RefusalScreen(event.error))

    @on(messages.DetachWanted)
    def _stop_session(self, event: messages.DetachWanted) -> None:
        session = self.feed.session_of(event.probe)
        if session is not None:
            self.run_worker(session.stop, thread=True, group="sessions")

    @on(messages.EventsSaved)
    def _say_saved(self, event: messages.EventsSaved) -> None:
        if event.error is not None:
            self.push_screen(RefusalScreen(event.error))
        else:
            self.notify(f"saved {amount(event.count, 'event')} to {event.path}", markup=False)

    async def _tick(self) -> None:
        """Look, and draw what changed; a key that came meanwhile is answered first, and what changed is drawn later."""
        self._look()
        if not await self.key_first.came():
            self._draw()

    def _look(self) -> None:
        """Pull records, and follow the sessions' lives."""
        self.feed.pull()
        for session in list(self.feed.sessions):
            if session.state != self._states.get(session):
                self._states[session] = session.state
                self._session_changed(session)
        self.costs.update(self.feed.sessions)
        self.collecting.update(busy=bool(self.feed.sessions), lull=self.key_first.lull)

    def _draw(self) -> None:
        """Show what is new on the screens that show it."""
        if self._live in self.screen_stack and self._live is not None:
            self._live.update_events()

    def _session_changed(self, session: EventSession) -> None:
        """A session went on to its next state."""
        if session.state == "run":
            self.collecting.events_come()
            failed = [(probe.name, error) for probe, error in session.failed]
            for name, error in failed[:3]:
                self.notify(f"{name}: {error}", severity="error", markup=False)
            if failed[3:]:
                more = amount(len(failed) - 3, "more probe")
                self.notify(f"{more} could not be attached: d lists them", severity="error", markup=False)
        elif session.state in ("ended", "failed"):
            self.feed.remove(session)
            del self._states[session]
            if session.error is not None:
                self.push_screen(RefusalScreen(session.error))
            else:
                self.notify(f"detached {_named(probes_of(session))}", markup=False)
        self._attached_changed()
        self.screen.refresh_bindings()

    def _attached_changed(self) -> None:
        """Other probes are attached."""

    def _session_opened(self) -> None:
        """A session for what was wanted is starting."""

    def action_live(self) -> None:
        """Show the live screen."""
        if self._live is None or self._live not in self.screen_stack:
            # The decoders come along: the first paint does not wait for them.
            from tracescope.ui.screens.live import LiveScreen

            self._live = LiveScreen(self._host, self.feed, self.costs, self._opening)
            self.push_screen(self._live)
        while self.screen is not self._live:
            self.pop_screen()


def _question(probes: Sequence[str]) -> Content:
    kinds = Counter(probe.partition(":")[0] for probe in probes)
    each = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
    return Content.assemble(
        (f"this attaches {amount(len(probes), 'probe')}: go on?", "bold"),
        f"\n\n{each}\n",
        ("Each is a program that runs at every event of its probe; loading and detaching take a while.", "dim"),
    )


def _named(probes: Sequence[str]) -> str:
    """Some of the names, and how many there are."""
    return ", ".join(probes[:4]) + (f" and {len(probes) - 4:,} more" if len(probes) > 4 else "")

"""The application: wires sources, sessions and screens. Widgets change in `@on` handlers and actions only."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import App
from textual.binding import BindingType
from textual.content import Content
from textual.events import Event, Key
from textual.worker import get_current_worker

from tracescope.attach.backend_names import AUTO
from tracescope.errors import TraceScopeError
from tracescope.host import Host
from tracescope.model import SourceReport
from tracescope.ui import keys, messages
from tracescope.ui.attachable import EXECVE, asked_once
from tracescope.ui.attaching import Attaching, Open
from tracescope.ui.commands import Commands
from tracescope.ui.config import Config, read_config
from tracescope.ui.look import THEME, amount
from tracescope.ui.process_feed import Monitor
from tracescope.ui.screens.browser import BrowserScreen
from tracescope.ui.screens.help import HelpScreen
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.screens.sources import SourcesScreen
from tracescope.ui.terminal import run_in_terminal
from tracescope.ui.widgets.status import StatusLine, session_words

if TYPE_CHECKING:
    from tracescope.attach.ask.options import AttachOptions
    from tracescope.attach.cost import RunStats
    from tracescope.attach.event_session import EventSession
    from tracescope.attach.monitor.monitor import MonitorSession
    from tracescope.attach.targets.target import Target
    from tracescope.catalog.store import Catalog
    from tracescope.recording import Recording
    from tracescope.ui.screens.processes import MonitorScreen

__all__ = ("TICK", "TraceScope", "replay", "run")

TICK = 1 / 12
"""Seconds between two looks at the sessions' rings."""

Report = Callable[[SourceReport], None]
Ready = Callable[["Catalog"], None]
Read = Callable[[Host, Report, Ready, Callable[[], bool]], object]
OpenMonitor = Callable[[Host], "MonitorSession"]


class TraceScope(Attaching, inherit_bindings=False):
    """The TUI. What it is given are the doors to the sources and to the kernel."""

    TITLE = "TraceScope"
    CSS_PATH = "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = list(keys.APP)
    COMMANDS = App.COMMANDS | {Commands}
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (130, "-wide"), (200, "-huge")]  # noqa: RUF012  declared so by App
    VERTICAL_BREAKPOINTS = [(0, "-short"), (20, "-tall")]  # noqa: RUF012
    COMMAND_PALETTE_DISPLAY = "^p"

    def __init__(
        self,
        host: Host,
        *,
        read: Read,
        open_session: Open,
        open_monitor: OpenMonitor | None = None,
        open_stats: Callable[[], RunStats] | None = None,
        check: Callable[[], None] | None = None,
        config: Config | None = None,
        problem: TraceScopeError | None = None,
    ) -> None:
        self.config = config or Config()
        super().__init__(
            host,
            live_rows=self.config.live_rows,
            open_session=open_session,
            open_stats=open_stats or _open_stats,
            backend=self.config.backend,
        )
        self.monitor = Monitor(host, open_monitor or partial(_open_monitor, backend=self.config.backend))
        self._read = read
        self._problem = problem
        self._reports: dict[str, SourceReport] = {}
        attach_key = self.config.keys.get("browser.attach", "a")
        self._browser = BrowserScreen(host, asked_once(check or partial(_check_any, host)), attach_key=attach_key)
        self._processes: MonitorScreen | None = None
        self._monitor_state = self.monitor.state

    def get_default_screen(self) -> BrowserScreen:
        """The browser is the lowest screen."""
        return self._browser

    def on_mount(self) -> None:
        """Settings, then the sources."""
        self.register_theme(THEME)
        self.theme = self.config.theme if self.config.theme in self.available_themes else THEME.name
        self.set_keymap(self.config.keys)
        if self._problem is not None:
            self.notify(str(self._problem), severity="warning", markup=False)
        self.set_interval(TICK, self._tick)
        self.call_after_refresh(self._read_sources)
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, self.exit)

    # The sources

    @work(thread=True, exit_on_error=True)
    def _read_sources(self) -> None:
        worker = get_current_worker()

        def report(state: SourceReport) -> None:
            self.post_message(messages.SourceChanged(state))

        def ready(catalog: Catalog) -> None:
            self.post_message(messages.CatalogReady(catalog))

        self._read(self._host, report, ready, lambda: worker.is_cancelled)

    @on(messages.SourceChanged)
    def _show_source(self, event: messages.SourceChanged) -> None:
        self._reports[event.report.name] = event.report
        for screen in self.screen_stack:
            if isinstance(screen, SourcesScreen):
                screen.show_sources(self._reports.values())
            for status in screen.query(StatusLine):
                status.show_sources(self._reports.values())

    @on(messages.CatalogReady)
    def _show_catalog(self, event: messages.CatalogReady) -> None:
        self._browser.show_catalog(event.catalog)
        self._catalog_came(event.catalog)

    # The sessions

    async def on_event(self, event: Event) -> None:
        """A key is answered first."""
        if isinstance(event, Key):
            self.key_first.pressed()
        await super().on_event(event)

    async def _tick(self) -> None:
        if not self.key_first.put_off():
            await super()._tick()

    def _look(self) -> None:
        super()._look()
        self._follow_monitor()

    def _draw(self) -> None:
        super()._draw()
        if self._processes in self.screen_stack and self._processes is not None:
            self._processes.update()
        self._show_status()

    def _attached_changed(self) -> None:
        self._browser.table.show_attached(self.feed.probes)

    def _session_opened(self) -> None:
        self._browser.forget_marks()

    def _follow_monitor(self) -> None:
        self.monitor.pull()
        error, self.monitor.error = self.monitor.error, None
        if error is not None:
            self.push_screen(RefusalScreen(error))
        if self.monitor.state != self._monitor_state:
            self._monitor_state = self.monitor.state
            self.screen.refresh_bindings()

    def _show_status(self) -> None:
        status = Content("")
        if self.feed.sessions:
            totals = self.feed.totals()
            status = Content.assemble(
                *session_words(self.feed), f"{amount(totals.events, 'event')} {self.feed.rates[-1]:,}/s"
            )
        if self._monitor_state != "off":
            status = Content.assemble((f"● processes {self._monitor_state}  ", "$text-success"), status)
        # What is covered is not drawn: Textual would draw all that covers it again.
        for screen in reversed(self.screen_stack):
            for line in screen.query(StatusLine):
                line.show_session(status)
            if not screen.is_modal:
                break

    # The keys that work anywhere

    def action_trace_execve(self) -> None:
        """Attach the four execve tracepoints."""
        self.post_message(messages.AttachWanted(EXECVE))

    def action_processes(self) -> None:
        """Show the Processes screen, with the monitor running."""
        if self._processes is None or self._processes not in self.screen_stack:
            from tracescope.ui.screens.processes import MonitorScreen

            self._processes = MonitorScreen(self._host, self.monitor)
            self.push_screen(self._processes)
        while self.screen is not self._processes:
            self.pop_screen()
        if self.monitor.state == "off":
            self.run_worker(self.monitor.start, thread=True, group="sessions")

    def action_sources(self) -> None:
        """Show what each source gave."""
        self.push_screen(SourcesScreen(self._host, self._reports.values()))

    def action_help(self) -> None:
        """Show the help."""
        self.push_screen(HelpScreen(self.config.keys))

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """A key that opens the screen that is open already is no key."""
        if action == "live":
            return self.screen is not self._live
        if action == "processes":
            return self.screen is not self._processes
        opens = {"sources": SourcesScreen, "help": HelpScreen}.get(action)
        return opens is None or not isinstance(self.screen, opens)


def _read_all(host: Host, report: Report, ready: Ready, cancelled: Callable[[], bool]) -> object:
    # Imported in the worker: the first paint does not wait for it.
    from tracescope.catalog.read import read_all

    return read_all(host, report, ready, cancelled)


def _open_session(host: Host, targets: Sequence[Target], options: AttachOptions, *, backend: str) -> EventSession:
    from tracescope.attach.ask.asked import Asked
    from tracescope.attach.start import start_session

    filters = replace(options.filters, but_not=(os.getpid(),))
    asked = Asked(options.where, options.show)
    return start_session(host, targets, filters, asked=asked, governed=True, backend=backend)


def _open_monitor(host: Host, *, backend: str = AUTO) -> MonitorSession:
    from tracescope.attach.monitor.monitor import open_monitor
    from tracescope.attach.start import own_backend

    return open_monitor(host, backend=own_backend(host, "monitor", backend))


def _open_stats() -> RunStats:
    from tracescope.attach.cost import RunStats

    return RunStats()


def _check_any(host: Host) -> None:
    from tracescope.attach.start import check_any

    check_any(host)


def run(host: Host) -> int:
    """Run the TUI until the user quits; the exit status. Sessions are detached however it ends."""
    config, problem = _settings()
    app = TraceScope(
        host,
        read=_read_all,
        open_session=partial(_open_session, backend=config.backend),
        config=config,
        problem=problem,
    )

    def end() -> None:
        app.feed.stop()
        app.costs.watch(on=False)
        app.monitor.close()

    run_in_terminal(app.run, end)
    return app.return_code or 0


def replay(recording: Recording) -> int:
    """Run the TUI on a recording; the exit status. Refused for one without processes."""
    from tracescope.ui.replay import ReplayApp, replay_of

    config, _ = _settings()
    return run_in_terminal(ReplayApp(replay_of(recording), config).run, lambda: None) or 0


def _settings() -> tuple[Config, TraceScopeError | None]:
    """The settings, or the defaults and what is wrong."""
    try:
        return read_config(), None
    except TraceScopeError as error:
        return Config(), error

"""The Processes screen, fed with events made by hand."""

from __future__ import annotations

import json
from collections import deque

import pytest
from process_events import end, fail, fork, run
from ui.fakes import MemoryHost, make_app, screen_text, settle, tick, type_text

from tracescope.attach.session import Counts, ProbeCount, SessionState
from tracescope.errors import AttachError, Refused
from tracescope.ui import process_feed
from tracescope.ui.screens.browser import BrowserScreen
from tracescope.ui.screens.process import CommandScreen
from tracescope.ui.screens.processes import MonitorScreen
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.widgets.process_tree import ProcessTree, tree_rows
from tracescope.ui.widgets.programs import ProgramTable

MS = 1_000_000
APP, SHELL = 812, 4000


class FakeMonitor:
    """A monitor's session: `put` events, `take` gives their numbers as records."""

    def __init__(self, fails=None) -> None:
        self.state = SessionState.PREPARE
        self.error = None
        self.lost = 0
        self._fails = fails
        self._events = []
        self._new = deque()

    def start(self):
        self.error = self._fails
        self.state = SessionState.FAILED if self._fails else SessionState.RUN

    def wait_running(self):
        if self.error:
            raise self.error

    def put(self, *events):
        for event in events:
            self._new.append(len(self._events).to_bytes(4, "little"))
            self._events.append(event)

    def take(self, limit):
        return [self._new.popleft() for _ in range(min(limit, len(self._new)))]

    def decode(self, record):
        return self._events[int.from_bytes(record, "little")]

    def counts(self):
        return Counts(len(self._events), self.lost, 0, (ProbeCount(len(self._events)),))

    def stop(self):
        self.state = SessionState.ENDED


def refuse(_event):
    raise Refused("the recording cannot be written", "no space left on device")


class StillMonitor(process_feed.Monitor):
    """Its time is that of the events."""

    @property
    def now_ns(self):
        return self.table.now_ns


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(process_feed, "_PERIOD", 0.0)
    monkeypatch.setattr("tracescope.ui.app.Monitor", StillMonitor)


def monitored(fails=None, host=None):
    """An app and the list of its monitor's sessions."""
    sessions = []

    def open_monitor(_host):
        sessions.append(FakeMonitor(fails))
        return sessions[-1]

    app, _ = make_app(host or MemoryHost(), open_monitor=open_monitor)
    app._read = lambda *_: None
    return app, sessions


async def processes(pilot, sessions, *events):
    """Open the screen and let these events happen."""
    await settle(pilot)
    await pilot.press("f8")
    await settle(pilot)
    if sessions:
        sessions[-1].put(*events)
    await tick(pilot)
    await tick(pilot)


def story():
    """An app that spawns a burner 60 times, each 11 ms and exit 1, and a shell that runs `ls` and looks for `vi`."""
    yield run(0, APP, "/srv/app", start_ns=APP * 1000)
    for number in range(60):
        pid, when = 1000 + number, 100 + number * 50
        yield fork(when, pid, APP, parent_start_ns=APP * 1000)
        yield run(when + 1, pid, "/usr/bin/stress", "-c", "1", comm="stress", comm_before="app", uid=33)
        yield end(when + 12, pid, 1, cpu_ns=10 * MS, lifetime_ns=11 * MS)
    yield run(4000, SHELL, "/bin/bash", ppid=1, comm="bash", uid=1000)
    yield fork(4100, 4001, SHELL, parent_start_ns=SHELL * 1000)
    yield run(4101, 4001, "/bin/ls", "-l", comm="ls", uid=1000)
    yield end(6101, 4001, 0, cpu_ns=2 * MS, lifetime_ns=2000 * MS)
    yield fork(6200, 4002, SHELL, parent_start_ns=SHELL * 1000)
    yield fail(6201, 4002, "/usr/local/bin/vi", comm="bash", uid=1000)
    yield fail(6202, 4002, "/usr/bin/vi", comm="bash", uid=1000)
    yield end(6203, 4002, 127)


async def test_the_summary_names_the_loop_its_parent_and_its_end():
    app, sessions = monitored()
    async with app.run_test(size=(160, 50)) as pilot:
        await processes(pilot, sessions, *story())
        text = screen_text(app)
        assert "`/usr/bin/stress`" in text
        assert "spawned by `/srv/app` (pid 812)" in text
        assert "median life 11 ms, 100 % exit 1: restart loop" in text
        assert "● run" in text
        assert "0 lost" in text
        assert "↻ /usr/bin/stress" in text


def another_loop():
    """A second loop, with a long name."""
    for number in range(60):
        pid, when = 3000 + number, 120 + number * 50
        yield fork(when, pid, APP, parent_start_ns=APP * 1000)
        yield run(when + 1, pid, f"/opt/{'deep/' * 10}service", comm="service", comm_before="app")
        yield end(when + 3, pid, 1, cpu_ns=MS, lifetime_ns=2 * MS)


@pytest.mark.parametrize(("size", "named"), [((80, 24), 1), ((160, 50), 2)])
async def test_as_many_loops_are_named_as_can_be_read_to_the_end(size, named):
    app, sessions = monitored()
    async with app.run_test(size=size) as pilot:
        await processes(pilot, sessions, *another_loop(), *story())
        text = " ".join(screen_text(app).split())
        assert text.count("restart loop") == named
        assert ("1 more loop" in text) == (named == 1)
        foot = screen_text(app).splitlines()[-1]
        for key in ("⏎ Open", "v View", "s Sort", "/ Find", "y Copy", "w Record", "x Stop/start", "? Help"):
            assert key in foot


async def test_lost_events_are_shown():
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions, *story())
        sessions[0].lost = 7
        await tick(pilot)
        assert "7 lost" in screen_text(app)


def programs(app):
    table = app.screen.query_one(ProgramTable)
    return [row.program for row in table._rows]


async def test_programs_are_sorted_by_every_column_and_reversed():
    app, sessions = monitored()
    async with app.run_test(size=(160, 50)) as pilot:
        await processes(pilot, sessions, *story())
        assert programs(app)[0] == "/usr/bin/stress"
        table = app.screen.query_one(ProgramTable)
        seen = {table.sorted_by}
        for _ in range(9):
            await pilot.press("s")
            seen.add(table.sorted_by)
        assert len(seen) == 10
        table.sort_by("life")
        assert programs(app)[0] == "/bin/ls"
        await pilot.press("S")
        assert programs(app)[-1] == "/bin/ls"
        table.sort_by("program")
        assert programs(app) == sorted(programs(app))


async def test_a_click_on_a_title_sorts():
    app, sessions = monitored()
    async with app.run_test(size=(160, 50)) as pilot:
        await processes(pilot, sessions, *story())
        header = screen_text(app).splitlines().index(next(s for s in screen_text(app).splitlines() if "CPU time" in s))
        line = screen_text(app).splitlines()[header]
        await pilot.click(offset=(line.index("life"), header))
        assert app.screen.query_one(ProgramTable).sorted_by == "life"


async def test_the_cursor_stays_on_its_program_when_others_overtake_it():
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions, *story())
        table = app.screen.query_one(ProgramTable)
        await pilot.press("down")
        chosen = table.selected.program
        for number in range(200):
            sessions[0].put(
                run(7000 + number, 9000 + number, "/opt/new"), end(7001 + number, 9000 + number, cpu_ns=50 * MS)
            )
        await tick(pilot)
        assert programs(app)[0] == "/opt/new"
        assert table.selected.program == chosen


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("stress", {"/usr/bin/stress"}),
        (f"pid:{SHELL}", {"/bin/bash", "/bin/ls", "vi"}),
        ("uid:33", {"/usr/bin/stress"}),
        ("failed:yes", {"vi"}),
        ("life:>1s", {"/bin/ls"}),
        ("life:<100ms uid:33", {"/usr/bin/stress"}),
        ("nothing:here", set()),
    ],
)
async def test_the_filter_leaves_programs(text, shown):
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions, *story())
        await pilot.press("slash")
        await type_text(pilot, text)
        assert set(programs(app)) == shown


async def test_the_filter_leaves_outcomes_and_the_tree_with_ancestors():
    app, sessions = monitored()
    async with app.run_test(size=(160, 50)) as pilot:
        await processes(pilot, sessions, *story())
        await pilot.press("2", "slash")
        await type_text(pilot, "failed:yes")
        assert app.screen.outcomes.row_count == 1
        assert "tried 2 places" in screen_text(app)
        await pilot.press("enter", "3")
        await type_text(pilot, "life:>1s")
        rows = app.screen.query_one(ProcessTree)._rows
        assert [row.process.pid for row in rows] == [1, SHELL, 4001]
        await pilot.press("escape")
        assert app.screen.query_one(ProcessTree).row_count > 3


async def test_the_live_list_shows_what_became_of_an_exec():
    app, sessions = monitored()
    async with app.run_test(size=(160, 50)) as pilot:
        await processes(pilot, sessions, run(0, 7, "/bin/sh", "-c", "x", comm="sh", comm_before="bash", uid=5))
        await pilot.press("2")
        line = next(line for line in screen_text(app).splitlines() if "/bin/sh" in line)
        assert "bash→sh" in line
        assert "runs" in line
        sessions[0].put(end(20, 7, None, signal=11, core=True, lifetime_ns=20 * MS))
        await tick(pilot)
        line = next(line for line in screen_text(app).splitlines() if "/bin/sh" in line)
        assert "SIGSEGV core" in line
        assert "20 ms" in line
        sessions[0].put(fork(30, 8, 7), end(31, 8, 3))
        await tick(pilot)
        assert "no exec)" in screen_text(app)


async def test_a_held_live_list_stays_on_its_row():
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions, *(run(n, 100 + n, "/bin/x") for n in range(50)))
        await pilot.press("2")
        outcomes = app.screen.outcomes
        assert outcomes.selected.event.pid == 149
        await pilot.press("up")
        sessions[0].put(*(run(60 + n, 200 + n, "/bin/x") for n in range(50)))
        await tick(pilot)
        assert outcomes.selected.event.pid == 148
        assert "held still" in screen_text(app)
        await pilot.press("end")
        await tick(pilot)
        assert outcomes.selected.event.pid == 249


async def test_the_tree_shows_who_was_there_before_and_folds_what_is_alike():
    app, sessions = monitored()
    async with app.run_test(size=(160, 50)) as pilot:
        await processes(pilot, sessions, *story())
        await pilot.press("3")
        text = screen_text(app)
        assert "… 57 more of /usr/bin/stress" in text
        assert text.count("stress -c 1") == 3
        assert "1 ?  (there before)" in text


def test_the_tree_of_a_long_line_of_processes_is_made():
    from tracescope.processes import ProcessTable

    table = ProcessTable()
    for number in range(1, 3000):
        table.add(fork(number, number + 1, number, parent_start_ns=number * 1000))
    assert len(tree_rows(table)) == 3000


async def test_a_process_opens_with_ancestry_and_one_argument_a_line_and_copies_its_command():
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        spaced = run(4, 4003, "/bin/echo", "two words", "", comm="echo")
        await processes(pilot, sessions, *story(), fork(7000, 4003, SHELL, parent_start_ns=SHELL * 1000), spaced)
        await pilot.press("2", "slash")
        await type_text(pilot, "two")
        await pilot.press("enter", "enter")
        assert isinstance(app.screen, CommandScreen)
        text = app.screen._text.plain
        assert "[1]  two words\n" in text
        assert f"{SHELL} /bin/bash" in text
        await pilot.press("y")
        assert app.clipboard == "/bin/echo 'two words' ''"
        await pilot.press("escape")
        await pilot.press("y")
        assert app.clipboard == "/bin/echo 'two words' ''"


async def test_a_program_opens_with_its_loop_ends_and_parents():
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions, *story())
        await pilot.press("enter")
        text = app.screen._text.plain
        assert "restart loop" in text
        assert "60  exit 1" in text
        assert "60  `/srv/app` (pid 812)" in text
        await pilot.press("y")
        assert app.clipboard == "/usr/bin/stress -c 1"


async def test_a_command_that_was_cut_is_refused():
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions, run(0, 7, "/bin/x", argv_truncated=True))
        app.copy_to_clipboard("")
        await pilot.press("y")
        assert app.clipboard == ""
        assert any("half a command" in note.message for note in app._notifications)


async def test_escapes_and_markup_in_arguments_are_inert():
    hostile = "\x1b]0;owned\x07[red]x[/red][/nope] \u202e\n"
    app, sessions = monitored()
    async with app.run_test(size=(160, 50)) as pilot:
        made = run(1, 7, hostile, hostile, comm=hostile, comm_before=hostile, interpreter=hostile, exe=hostile)
        await processes(pilot, sessions, fork(0, 7, 6), made, fail(2, 8, hostile, comm=hostile), end(3, 7))
        for keys in (
            (),
            ("enter",),
            ("escape", "2"),
            ("enter",),
            ("escape", "up", "enter"),
            ("escape", "3"),
            ("down", "enter"),
        ):
            await pilot.press(*keys)
            await tick(pilot)
            text = screen_text(app)
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert "\x07" not in text
        assert "[red]x[/red][/nope] \\u202e\\n" in text


async def test_leaving_keeps_the_monitor_running_and_x_stops_it():
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions, *story())
        await pilot.press("escape")
        await tick(pilot)
        assert isinstance(app.screen, BrowserScreen)
        assert "● processes run" in screen_text(app)
        await pilot.press("f8")
        await settle(pilot)
        assert len(sessions) == 1
        await pilot.press("x")
        await settle(pilot)
        await tick(pilot)
        assert sessions[0].state == SessionState.ENDED
        assert app.monitor.state == "off"
        assert "/usr/bin/stress" in screen_text(app)
        await pilot.press("x")
        await settle(pilot)
        assert len(sessions) == 2


async def test_events_are_recorded_until_the_key_is_pressed_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions)
        await pilot.press("w")
        sessions[0].put(run(0, 7, "/bin/x"), end(5, 7))
        await tick(pilot)
        assert ".rec" in screen_text(app)
        await pilot.press("w")
        sessions[0].put(run(9, 8, "/bin/y"))
        await tick(pilot)
        (path,) = tmp_path.glob("*.rec")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        assert [row["event"] for row in rows if "event" in row] == ["exec", "exit"]
        assert rows[-1]["counts"]["final"]
        assert any(str(path) in note.message for note in app._notifications)


async def test_a_full_disk_ends_the_recording_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions)
        await pilot.press("w")
        monkeypatch.setattr(app.monitor.recorder, "write", refuse)
        sessions[0].put(run(0, 7, "/bin/x"))
        await tick(pilot)
        assert isinstance(app.screen, RefusalScreen)
        assert "no space" in screen_text(app)
        await pilot.press("escape")
        sessions[0].put(run(1, 8, "/bin/x"))
        await tick(pilot)
        assert "2 events" in screen_text(app)


async def test_quitting_detaches_and_ends_the_recording(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app, sessions = monitored()
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, sessions)
        await pilot.press("w")
        sessions[0].put(run(0, 7, "/bin/x"))
        await pilot.press("q")
    app.monitor.close()
    assert sessions[0].state == SessionState.ENDED
    (path,) = tmp_path.glob("*.rec")
    assert '"exec"' in path.read_text()
    assert '"final":true' in path.read_text()


async def test_a_monitor_that_fails_says_what_why_and_the_log():
    app, sessions = monitored(fails=AttachError("no program", "the verifier said no", "ask it", log="insn 7: [red]bad"))
    async with app.run_test(size=(160, 50)) as pilot:
        await processes(pilot, sessions)
        assert isinstance(app.screen, RefusalScreen)
        for words in ("no program", "the verifier said no", "ask it"):
            assert words in screen_text(app)
        await pilot.press("l")
        await settle(pilot)
        assert "insn 7: [red]bad" in screen_text(app)
        await pilot.press("escape", "escape")
        assert isinstance(app.screen, MonitorScreen)
        assert app.monitor.state == "off"


async def test_a_snapshot_is_refused():
    from tracescope.attach.monitor.monitor import open_monitor

    app, _ = make_app(MemoryHost(live=False), open_monitor=open_monitor)
    app._read = lambda *_: None
    async with app.run_test(size=(80, 24)) as pilot:
        await processes(pilot, [])
        assert isinstance(app.screen, RefusalScreen)
        assert "leave out --host" in screen_text(app)


@pytest.mark.parametrize("size", [(80, 24), (160, 50), (40, 10)])
async def test_every_view_is_drawn_at_every_size(size):
    app, sessions = monitored()
    async with app.run_test(size=size) as pilot:
        await processes(pilot, sessions, *story())
        for keys in ("1", "2", "v", "v", "slash", "escape", "enter", "escape"):
            await pilot.press(keys)
            await tick(pilot)
            assert all(len(line) <= size[0] for line in screen_text(app).splitlines())
        assert "stress" in screen_text(app)


async def test_every_key_in_the_footer_does_something(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app, sessions = monitored()
    async with app.run_test(size=(160, 50)) as pilot:
        await processes(pilot, sessions, *story())
        for key in ("v", "1", "s", "S", "slash", "escape", "enter", "escape", "y", "w", "x"):
            before = (app.screen, app.focused, screen_text(app), len(app._notifications))
            await pilot.press(key)
            await settle(pilot)
            await tick(pilot)
            assert before != (app.screen, app.focused, screen_text(app), len(app._notifications)), key

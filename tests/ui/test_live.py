"""The live screen, fed by a session that a test fills."""

from __future__ import annotations

import json
import re

from textual.widgets import Input
from ui.fakes import MemoryHost, event, live, make_app, read_memory, screen_text, settle, tick, type_text

from tracescope.errors import AttachError
from tracescope.ui.messages import CatalogReady
from tracescope.ui.screens.browser import BrowserScreen
from tracescope.ui.screens.live import LiveScreen
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.widgets.events import EventList
from tracescope.ui.widgets.table import ProbeTable


async def test_e_attaches_the_four_execve_tracepoints_and_shows_their_events():
    app, sessions = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await live(pilot, sessions)
        assert len(sessions[0].probes) == 4
        sessions[0].put(event())
        await tick(pilot)
        text = screen_text(app)
        assert 'filename=/bin/ls argv=["ls", "-l"] envp=23' in text
        assert "● run" in text
        assert all(f"  {probe} " in text for probe in sessions[0].probes)
        await pilot.press("d")
        await settle(pilot)
        await tick(pilot)
        assert re.search(r"sys_enter_execve\s+1\b", screen_text(app))
        assert "0 lost" in text
        await pilot.press("e")
        await settle(pilot)
        assert len(sessions) == 1


async def test_a_attaches_and_detaches_in_the_browser_and_detaches_in_the_live_screen():
    app, sessions = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "sys_enter_execve")
        await pilot.press("down", "a")
        await settle(pilot)
        assert isinstance(app.screen, LiveScreen)
        assert sessions[0].probes == ["tracepoint:syscalls:sys_enter_execve"]
        await pilot.press("escape")
        await tick(pilot)
        assert isinstance(app.screen, BrowserScreen)
        assert app.screen.query_one(ProbeTable).attached == {"tracepoint:syscalls:sys_enter_execve"}
        assert "● run" in screen_text(app)
        await pilot.press("a")
        await settle(pilot)
        await tick(pilot)
        assert sessions[0].stops == 1
        assert not app.screen.query_one(ProbeTable).attached
        await pilot.press("a")
        await settle(pilot)
        await pilot.press("a")
        await settle(pilot)
        await tick(pilot)
        assert sessions[1].stops == 1
        assert not app.feed.sessions


async def test_execve_attaches_only_what_is_not_attached_yet():
    app, sessions = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "sys_enter_execve")
        await pilot.press("down", "a")
        await settle(pilot)
        await pilot.press("e")
        await settle(pilot)
        assert len(sessions[1].probes) == 3


async def test_a_failed_start_says_what_why_and_the_log():
    app, _ = make_app(fails=AttachError("no program", "the verifier said no", "ask it", log="insn 7: [red]bad"))
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(pilot)
        await pilot.press("down", "e")
        await settle(pilot)
        await tick(pilot)
        text = screen_text(app)
        assert isinstance(app.screen, RefusalScreen)
        for words in ("no program", "the verifier said no", "ask it"):
            assert words in text
        await pilot.press("l")
        await settle(pilot)
        assert "insn 7: [red]bad" in screen_text(app)
        assert not app.feed.sessions


async def test_lost_events_are_shown():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        sessions[0].lost = 7
        await tick(pilot)
        assert "7 lost" in screen_text(app)


async def test_a_held_list_stays_on_its_events_while_new_ones_come():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        sessions[0].put(*(event(pid=number) for number in range(100)))
        await tick(pilot)
        events = app.screen.query_one(EventList)
        assert events.selected == 99
        await pilot.press("space")
        sessions[0].put(*(event(pid=number) for number in range(100, 150)))
        await tick(pilot)
        assert events.selected == 99
        assert events.row_count == 150
        await pilot.press("end")
        await tick(pilot)
        assert events.selected == 149
        await pilot.press("up")
        assert not events.following
        await pilot.press("space")
        assert events.following


async def test_a_held_list_slides_only_when_its_events_are_dropped():
    from tracescope.ui.config import Config

    app, sessions = make_app(config=Config(live_rows=100))
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        sessions[0].put(*(event(pid=number) for number in range(100)))
        await tick(pilot)
        events = app.screen.query_one(EventList)
        await pilot.press("space")
        sessions[0].put(*(event(pid=number) for number in range(100, 130)))
        await tick(pilot)
        assert events.selected == 99
        assert events.row_count == 100
        sessions[0].put(*(event(pid=number) for number in range(130, 230)))
        await tick(pilot)
        assert events.selected == 130


async def test_clear_forgets_events_and_keeps_counts():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        sessions[0].put(event(), event())
        await tick(pilot)
        await pilot.press("c")
        await tick(pilot)
        assert app.screen.query_one(EventList).row_count == 0
        assert "2 events" in screen_text(app)
        sessions[0].put(event())
        await tick(pilot)
        assert app.screen.query_one(EventList).row_count == 1


async def test_the_filter_takes_old_and_new_events():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        sessions[0].put(event(comm="make"), event(comm="bash"))
        await tick(pilot)
        await pilot.press("slash", *"MAKE", "enter")
        events = app.screen.query_one(EventList)
        assert events.row_count == 1
        sessions[0].put(event(comm="make"), event(comm="sh"))
        await tick(pilot)
        assert events.row_count == 2
        await pilot.press("escape")
        await tick(pilot)
        assert events.row_count == 4
        assert app.focused is events


async def test_an_event_opens_with_one_argument_a_line():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        sessions[0].put(
            event(args={"filename": "/bin/echo", "argv": ["echo", "", None], "x": {"raw": "0x00ff"}}, ret=-2)
        )
        await tick(pilot)
        await pilot.press("enter")
        text = screen_text(app)
        assert "[0]  echo" in text
        assert "[2]  (could not be read)" in text
        assert "not decoded: 0x00ff" in text
        assert "-2 ENOENT" in text
        await pilot.press("escape")
        assert isinstance(app.screen, LiveScreen)


async def test_the_program_is_shown_as_it_is():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        await pilot.press("p")
        text = screen_text(app)
        assert "/* [bold]not markup[/bold] */" in text
        assert "int probe_0(void *ctx)" in text


async def test_escapes_and_markup_in_an_event_are_inert():
    app, sessions = make_app()
    hostile = "\x1b]0;owned\x07[red]x[/red][/nope] \u202e\n"
    async with app.run_test(size=(160, 50)) as pilot:
        await live(pilot, sessions)
        sessions[0].put(event(comm=hostile, args={"filename": hostile, "argv": [hostile]}))
        for keys in ((), ("enter",), ("y",)):
            await pilot.press(*keys)
            await tick(pilot)
            text = screen_text(app)
            assert "\x1b" not in text
            assert "\u202e" not in text
            assert "[red]x[/red][/nope] \\u202e\\n" in text


async def test_quitting_detaches():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        await pilot.press("q")
    app.feed.stop()
    assert sessions[0].stops == 1


async def test_events_of_two_sessions_are_merged_by_time():
    app, sessions = make_app(MemoryHost())
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "sys_enter_execve")
        await pilot.press("down", "a")
        await settle(pilot)
        await pilot.press("e")
        await settle(pilot)
        sessions[0].put(event(time_ns=3, pid=3), event(time_ns=5, pid=5))
        sessions[1].put(event(time_ns=2, pid=2), event(time_ns=4, pid=4))
        await tick(pilot)
        assert [app.feed.event(number).pid for number in range(4)] == [2, 3, 4, 5]


async def test_e_before_the_sources_are_read_attaches_when_they_are():
    app, sessions = make_app()
    app._read = lambda *_: None
    async with app.run_test(size=(160, 50)) as pilot:
        await pilot.press("f5")
        await settle(pilot)
        assert not sessions
        read_memory(app._host, lambda _: None, lambda catalog: app.post_message(CatalogReady(catalog)), lambda: False)
        await settle(pilot)
        assert len(sessions) == 1
        assert isinstance(app.screen, LiveScreen)


async def test_k_shows_the_events_in_the_kernels_words_and_the_detail_has_them_too(tmp_path):
    app, sessions = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await live(pilot, sessions)
        sessions[0].put(event())
        await tick(pilot)
        assert "kernel: " not in screen_text(app)
        plain, copied = await _saved(pilot, tmp_path / "plain.rec"), await _copied(pilot)
        assert "words" not in plain
        assert "words" not in copied["Y"]
        assert "filename=/bin/ls" in copied["y"]
        await pilot.press("K")
        await settle(pilot)
        await tick(pilot)
        assert "kernel: \\x1bbash [bold]" in screen_text(app)
        assert "kernel's words, in w y Y too" in screen_text(app)
        # As on the screen; the arguments stay beside them, so that the file replays and filters as any other.
        worded, copied = await _saved(pilot, tmp_path / "words.rec"), await _copied(pilot)
        assert worded == plain | {"words": "kernel: \x1bbash [bold]"}
        assert copied["Y"] == worded
        assert copied["y"].endswith("\tkernel: \\x1bbash [bold]")
        await pilot.press("K")
        assert "filename=/bin/ls" in screen_text(app)
        await pilot.press("enter")
        await settle(pilot)
        assert "kernel's words  kernel: \\x1bbash [bold]" in screen_text(app)


async def test_events_of_a_session_that_ended_are_shown_and_copied_in_the_kernels_words():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        sessions[0].put(event())
        await tick(pilot)
        await pilot.press("a")
        await settle(pilot)
        assert sessions[0].stops == 1
        await pilot.press("K")
        await settle(pilot)
        await tick(pilot)
        assert "kernel: \\x1bbash" in screen_text(app)
        assert "kernel's words, in w y Y too" in screen_text(app)
        assert (await _copied(pilot))["Y"]["words"] == "kernel: \x1bbash [bold]"


async def _saved(pilot, path):
    """The one event that `w` writes, without what its line says beside it."""
    await pilot.press("w")
    await settle(pilot)
    worded = " in the kernel's words too" if pilot.app.feed.in_words else ""
    assert f"Save 1 event{worded} to which" in screen_text(pilot.app)
    pilot.app.screen.query_one(Input).value = str(path)
    await pilot.press("enter")
    await settle(pilot)
    (line,) = [row for row in map(json.loads, path.read_text().splitlines()) if "args" in row]
    return line


async def _copied(pilot):
    """What `y` and `Y` copy: a line, an event."""
    await pilot.press("y")
    line = pilot.app.clipboard
    await pilot.press("Y")
    return {"y": line, "Y": json.loads(pilot.app.clipboard)}

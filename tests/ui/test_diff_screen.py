"""Comparing with a snapshot, and writing one."""

from __future__ import annotations

from textual.widgets import Input
from ui.fakes import make_app, screen_text, settle, type_text
from ui.recorded import HOSTS, recorded_app

from tracescope.host import open_host
from tracescope.ui.screens.diff import DiffLines
from tracescope.ui.screens.refusal import RefusalScreen


async def answer(pilot, key, text):
    await settle(pilot)
    await pilot.press(key)
    await settle(pilot)
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")
    await settle(pilot)


async def test_two_kernels_are_compared_and_filtered():
    async with recorded_app() as pilot:
        await answer(pilot, "f10", str(HOSTS / "debian11-5.10.zip"))
        lines = pilot.app.screen.query_one(DiffLines)
        everything = lines.row_count
        assert "what could be attached before" in screen_text(pilot.app)
        await type_text(pilot, "rawtracepoint:sched_switch")
        assert 0 < lines.row_count < everything
        assert "~ rawtracepoint:sched_switch" in screen_text(pilot.app)
        await type_text(pilot, "no such change")
        assert "nothing has this text" in screen_text(pilot.app)


async def test_a_path_that_is_no_snapshot_is_refused(tmp_path):
    app, _ = make_app()
    async with app.run_test(size=(200, 24)) as pilot:
        await answer(pilot, "f10", str(tmp_path / "none.zip"))
        assert isinstance(app.screen, RefusalScreen)
        assert "none.zip" in app.screen._error.what
        await pilot.press("escape")
        assert app.screen.input is not None


async def test_a_snapshot_is_written_and_says_what_it_lacks(tmp_path):
    app, _ = make_app()
    file = tmp_path / "host.zip"
    async with app.run_test(size=(160, 50)) as pilot:
        await answer(pilot, "f12", str(file))
        text = screen_text(app)
        assert "5 of events" in text
        assert "perf is not installed" in text
    host = open_host(str(file))
    assert b"vfs_read" in host.read("/proc/kallsyms")
    host.close()


async def test_a_file_that_is_there_is_not_written_over(tmp_path):
    app, _ = make_app()
    file = tmp_path / "host.zip"
    file.write_text("mine")
    async with app.run_test(size=(200, 24)) as pilot:
        await answer(pilot, "f12", str(file))
        assert "is there already" in screen_text(app)
    assert file.read_text() == "mine"


async def test_escape_asks_nothing_more():
    app, _ = make_app()
    async with app.run_test(size=(200, 24)) as pilot:
        await settle(pilot)
        before = app.screen
        await pilot.press("f10", "escape")
        assert app.screen is before

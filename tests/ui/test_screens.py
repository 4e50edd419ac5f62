"""Whole screens: text golden files, every key of every footer, settings, help."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot
from ui.fakes import event, live, make_app, screen_text, screen_words, settle, tick, type_text

from tracescope.attach.open import open_session
from tracescope.catalog.read import read_all
from tracescope.errors import UsageError
from tracescope.host import SnapshotHost
from tracescope.model import Reason, SourceReport, SourceState, Stability
from tracescope.ui import keys
from tracescope.ui.app import TraceScope
from tracescope.ui.config import Config, parse_config, read_config
from tracescope.ui.look import STATE_STYLE
from tracescope.ui.widgets.filter import FilterInput

GOLDEN = Path(__file__).parent / "golden"
HOSTS = Path(__file__).parent.parent / "fixtures" / "hosts"


def matches_golden(name: str, text: str) -> bool:
    """Compare with the file; TRACESCOPE_GOLDEN=1 writes it."""
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("TRACESCOPE_GOLDEN"):
        path.write_text(text + "\n")
    assert text + "\n" == path.read_text()
    return True


async def test_the_browser_at_80x24():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await type_text(pilot, "execve")
        await pilot.press("down")
        await settle(pilot)
        assert matches_golden("browser-80x24", screen_text(app))


@pytest.fixture
def utc(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


async def test_the_live_screen_at_80x24(utc):
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        app.feed._rated_at = math.inf
        sessions[0].put(event(), event(probe="tracepoint:syscalls:sys_exit_execve", args={}, ret=-2))
        await tick(pilot)
        assert matches_golden("live-80x24", screen_text(app))


async def test_the_sources_screen_at_80x24():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("f7")
        await settle(pilot)
        assert matches_golden("sources-80x24", screen_text(app))


async def test_the_help_explains_every_reason_kind_step_and_key():
    app, _ = make_app(config=Config(keys={"browser.attach": "t"}))
    async with app.run_test(size=(160, 200)) as pilot:
        await settle(pilot)
        await pilot.press("f1")
        await settle(pilot)
        text = screen_text(app)
        for word in (*Reason, *Stability):
            assert word.value in text
        for bindings in keys.GROUPS.values():
            for binding in bindings:
                assert f"  {binding.id}" in text
        assert "EXPORT_SYMBOL does not decide" in text
        assert "\n   t   " in text


async def walk(pilot: Pilot, go: list[str]) -> list[str]:
    """Press every key that the footer shows, each from the same place; the keys that changed nothing."""
    app = pilot.app
    await pilot.press(*go)
    await settle(pilot)
    shown = [active.binding for active in app.screen.active_bindings.values() if active.binding.show and active.enabled]
    idle = []
    for binding in {binding.action: binding for binding in shown}.values():
        if binding.action == "quit":
            continue
        before = (app.screen, app.focused, screen_text(app), app.clipboard, len(app._notifications))
        app.copy_to_clipboard("")
        await pilot.press(binding.key)
        await settle(pilot)
        await tick(pilot)
        after = (app.screen, app.focused, screen_text(app), app.clipboard, len(app._notifications))
        if before == after:
            idle.append(binding.key)
        while len(app.screen_stack) > 1:
            app.pop_screen()
        await settle(pilot)
        # In the filter line a `/` would be typed.
        await pilot.press(*(go[1:] if isinstance(app.focused, FilterInput) else go))
        await settle(pilot)
        await tick(pilot)
    return idle


@pytest.mark.parametrize(
    "go",
    [
        ["slash"],
        ["slash", "down"],
        ["slash", "down", "enter"],
        ["slash", "down", "s"],
        ["slash", "down", "question_mark"],
    ],
    ids=["filter", "table", "detail", "sources", "help"],
)
async def test_every_key_in_the_footer_does_something(go):
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await type_text(pilot, "execve")
        app.set_focus(None)
        assert await walk(pilot, go) == []


async def test_every_key_in_the_live_footer_does_something():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await live(pilot, sessions)
        for key in ("space", "slash", "escape", "enter", "escape", "p", "escape", "y", "c", "x", "escape", "a"):
            sessions[0].put(event())
            await tick(pilot)
            before = (app.screen, app.focused, screen_text(app), len(app._notifications))
            await pilot.press(key)
            await settle(pilot)
            await tick(pilot)
            assert before != (app.screen, app.focused, screen_text(app), len(app._notifications)), key
        assert not app.feed.sessions


async def test_a_remapped_key_works_and_the_old_one_rests():
    app, sessions = make_app(config=Config(keys={"app.execve": "t"}))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("down", "e")
        await settle(pilot)
        assert not sessions
        await pilot.press("t")
        await settle(pilot)
        assert len(sessions) == 1


async def test_the_palette_finds_the_actions():
    app, sessions = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+p", *"execve")
        await pilot.pause(0.3)
        await pilot.press("enter")
        await settle(pilot)
        assert len(sessions) == 1


async def test_an_unknown_theme_falls_back():
    app, _ = make_app(config=Config(theme="no such theme"))
    async with app.run_test(size=(80, 24)):
        assert app.theme == "tracescope"


def test_settings_are_read():
    config = parse_config('theme = "nord"\nlive_rows = 500\n[keys]\n"app.execve" = "t"\n')
    assert config == Config("nord", 500, {"app.execve": "t"})


@pytest.mark.parametrize(
    "text", ["theme = 1", "live_rows = 5", "live_rows = true", "keys = 3", "colour = 1", "[", "[keys]\na = 1"]
)
def test_settings_that_cannot_be_understood_are_refused_with_the_file(tmp_path, text):
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_config(path)
    assert str(path) in caught.value.what
    assert caught.value.why


def test_no_settings_are_the_defaults(tmp_path):
    assert read_config(tmp_path / "none.toml") == Config()


def test_settings_that_are_binary_are_refused(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError):
        read_config(path)


def test_every_state_has_a_colour():
    assert set(STATE_STYLE) == set(SourceState)
    assert SourceReport("x", SourceState.OK).count == 0


def test_binding_ids_are_unique():
    ids = [binding.id for bindings in keys.GROUPS.values() for binding in bindings]
    assert len(ids) == len(set(ids))


async def test_settings_that_were_not_understood_are_said():
    app, _ = make_app(problem=UsageError("config.toml was not understood", "[line 1]", "mend it"))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await settle(pilot)
        assert [note.message for note in app._notifications] == [
            "config.toml was not understood: [line 1] (fix: mend it)"
        ]
        assert "[line 1]" in screen_text(app)


async def test_a_recorded_host_is_browsed():
    host = SnapshotHost(HOSTS / "debian12-6.1.zip")
    app = TraceScope(host, read=read_all, open_session=open_session)
    async with app.run_test(size=(160, 50)) as pilot:
        while app._catalog is None:
            await pilot.pause(0.05)
        await type_text(pilot, "kprobe:do_sys_openat2")
        text = screen_text(app)
        assert "yes: can be attached" in text
        assert "do_sys_openat2(int dfd" in text
        await pilot.press("down", "a")
        await settle(pilot)
        assert "is a snapshot" in screen_words(app)
    host.close()

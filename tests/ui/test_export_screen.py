"""The preview of an export: four forms, copied and saved."""

from __future__ import annotations

from textual.widgets import Input
from ui.fakes import make_app, screen_text, settle, type_text

from tracescope.attach.ask.options import AttachOptions
from tracescope.ui.screens.export import ExportScreen
from tracescope.ui.screens.live import LiveScreen
from tracescope.ui.screens.options import OptionsScreen
from tracescope.ui.screens.refusal import RefusalScreen


async def press(pilot, *keys):
    await pilot.press(*keys)
    await settle(pilot)


async def at_row(pilot, words, *keys):
    """The first row that these words find, and there these keys."""
    await settle(pilot)
    await type_text(pilot, words)
    await settle(pilot)
    await press(pilot, "down", *keys)


async def export(pilot, app, words):
    await at_row(pilot, words, "x")
    assert isinstance(app.screen, ExportScreen)


async def test_each_form_is_shown_in_turn():
    app, _ = make_app()
    async with app.run_test(size=(120, 50)) as pilot:
        await export(pilot, app, "sys_exit_execveat")
        seen = []
        for _ in range(4):
            seen.append(screen_text(app))
            await press(pilot, "right")
        assert "#!/usr/bin/env bpftrace" in seen[0]
        assert "bpftrace -e" in seen[1]
        assert "#!/usr/bin/env python3" in seen[2]
        assert "sys_exit_execveat.bpf.c" in seen[3]
        await press(pilot, "left")
        assert "[libbpf]" in screen_text(app)


async def test_the_whole_text_is_copied():
    app, _ = make_app()
    async with app.run_test(size=(120, 50)) as pilot:
        await export(pilot, app, "sys_exit_execveat")
        await press(pilot, "right", "right")
        await pilot.press("y")
        assert app.clipboard.startswith("#!/usr/bin/env python3\n")
        compile(app.clipboard, "copied", "exec")


async def test_files_are_saved_once(tmp_path):
    app, _ = make_app()
    async with app.run_test(size=(120, 50)) as pilot:
        await export(pilot, app, "sys_exit_execveat")
        await press(pilot, "left")
        for _ in range(2):
            await press(pilot, "w", "backspace", *str(tmp_path / "new"), "enter")
        assert isinstance(app.screen, RefusalScreen)
    names = {path.name for path in (tmp_path / "new").iterdir()}
    made = {"sys_exit_execveat.bpf.c", "sys_exit_execveat.c", "sys_exit_execveat.h", "Makefile", "README.md"}
    assert names == made


async def test_what_cannot_be_written_says_why():
    app, _ = make_app()
    async with app.run_test(size=(120, 50)) as pilot:
        await export(pilot, app, "jiffies")
        assert "cannot be" in screen_text(app) or "is no full name" in screen_text(app)
        await pilot.press("w")
        assert isinstance(app.screen, ExportScreen)


async def test_the_detail_screen_exports_too():
    app, _ = make_app()
    async with app.run_test(size=(120, 50)) as pilot:
        await at_row(pilot, "sys_exit_execveat", "enter")
        await press(pilot, "x")
        assert isinstance(app.screen, ExportScreen)


async def test_marked_probes_are_exported_with_the_options_of_the_dialog():
    app, sessions = make_app()
    async with app.run_test(size=(120, 60)) as pilot:
        await at_row(pilot, "sys_exit_exec", "space", "space", "A")
        app.screen.query_one("#comm", Input).value = "make"
        app.screen.query_one("#where", Input).value = "args.ret < 0"
        await press(pilot, "f4")
        text = screen_text(app)
        assert "with options" in text
        assert text.count('/(comm == "make") && (args.ret < 0)/') == 2
        await press(pilot, "escape")
        assert isinstance(app.screen, OptionsScreen)
        await press(pilot, "escape", "x")
        assert screen_text(app).count('/(comm == "make") && (args.ret < 0)/') == 2
    assert not sessions


async def test_a_mistake_in_the_dialog_is_said_before_anything_is_exported():
    app, _ = make_app()
    async with app.run_test(size=(120, 60)) as pilot:
        await at_row(pilot, "sys_exit_execveat", "A")
        app.screen.query_one("#uid", Input).value = "nobody-has-this-name"
        await press(pilot, "f4")
        assert isinstance(app.screen, OptionsScreen)
        assert "there is no user" in screen_text(app)


async def test_the_live_screen_exports_the_session_as_it_was_asked_for():
    app, sessions = make_app()
    async with app.run_test(size=(120, 60)) as pilot:
        await at_row(pilot, "sys_exit_execveat", "A")
        app.screen.query_one("#pid", Input).value = "4242"
        app.screen.query_one("#show", Input).value = "args.ret + 1"
        await press(pilot, "enter")
        assert isinstance(app.screen, LiveScreen)
        await press(pilot, "x")
        assert isinstance(app.screen, ExportScreen)
        assert "/(pid == 4242)/" in screen_text(app)
        assert "show0=%lld" in screen_text(app)
    assert len(sessions) == 1


async def test_the_parts_of_a_count_are_exported():
    app, _ = make_app()
    async with app.run_test(size=(120, 60)) as pilot:
        await settle(pilot)
        options = AttachOptions(count=True, count_by="comm", stack="kernel", lhist="args.ret:0:8:2")
        app.push_screen(ExportScreen(app._host, app._catalog, ["tracepoint:syscalls:sys_exit_execve"], options))
        await settle(pilot)
        assert "@[comm, kstack] = lhist(args.ret, 0, 8, 2);" in screen_text(app)
        await press(pilot, "left")
        assert "for bpftrace only" in screen_text(app)


async def test_ring_buffer_and_perf_buffer_take_turns():
    app, _ = make_app()
    async with app.run_test(size=(160, 60)) as pilot:
        await export(pilot, app, "sys_exit_execveat")
        assert "buffer" not in screen_text(app).splitlines()[0]
        await press(pilot, "b", "left")
        assert "by BPF ring buffer" in screen_text(app)
        assert "BPF_MAP_TYPE_RINGBUF" in app.screen._copied
        await press(pilot, "b")
        assert "by perf buffer" in screen_text(app)
        assert "BPF_MAP_TYPE_PERF_EVENT_ARRAY" in app.screen._copied
        await press(pilot, "left")
        assert "by perf buffer" in screen_text(app)
        assert "BPF_PERF_OUTPUT(events)" in app.screen._copied
        await press(pilot, "b")
        assert "BPF_RINGBUF_OUTPUT(events" in app.screen._copied

"""The preview of an export: four forms, copied and saved."""

from __future__ import annotations

from ui.fakes import make_app, screen_text, settle, type_text

from tracescope.ui.screens.export import ExportScreen
from tracescope.ui.screens.refusal import RefusalScreen


async def export(pilot, app, words):
    await settle(pilot)
    await type_text(pilot, words)
    await settle(pilot)
    await pilot.press("down", "x")
    await settle(pilot)
    assert isinstance(app.screen, ExportScreen)


async def test_each_form_is_shown_in_turn():
    app, _ = make_app()
    async with app.run_test(size=(120, 50)) as pilot:
        await export(pilot, app, "sys_exit_execveat")
        seen = []
        for _ in range(4):
            seen.append(screen_text(app))
            await pilot.press("right")
            await settle(pilot)
        assert "#!/usr/bin/env bpftrace" in seen[0]
        assert "bpftrace -e" in seen[1]
        assert "#!/usr/bin/env python3" in seen[2]
        assert "sys_exit_execveat.bpf.c" in seen[3]
        await pilot.press("left")
        await settle(pilot)
        assert "[libbpf]" in screen_text(app)


async def test_the_whole_text_is_copied():
    app, _ = make_app()
    async with app.run_test(size=(120, 50)) as pilot:
        await export(pilot, app, "sys_exit_execveat")
        await pilot.press("right", "right")
        await settle(pilot)
        await pilot.press("y")
        assert app.clipboard.startswith("#!/usr/bin/env python3\n")
        compile(app.clipboard, "copied", "exec")


async def test_files_are_saved_once(tmp_path):
    app, _ = make_app()
    async with app.run_test(size=(120, 50)) as pilot:
        await export(pilot, app, "sys_exit_execveat")
        await pilot.press("left")
        await settle(pilot)
        for _ in range(2):
            await pilot.press("w", "backspace", *str(tmp_path / "new"), "enter")
            await settle(pilot)
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
        await settle(pilot)
        await type_text(pilot, "sys_exit_execveat")
        await settle(pilot)
        await pilot.press("down", "enter")
        await settle(pilot)
        await pilot.press("x")
        await settle(pilot)
        assert isinstance(app.screen, ExportScreen)

"""The browser: filter, facets, table, detail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ui.fakes import MemoryHost, make_app, screen_text, settle, type_text

from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.widgets.detail import DetailPane
from tracescope.ui.widgets.facets import Facets
from tracescope.ui.widgets.filter import FilterInput
from tracescope.ui.widgets.table import ProbeTable

SIZES = [(80, 24), (160, 50), (40, 10), (20, 5), (1, 1)]


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_is_drawn(size):
    app, _ = make_app()
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await pilot.press("down", "down", "enter")
        await settle(pilot)
        await pilot.resize_terminal(120, 40)
        await pilot.resize_terminal(*size)
        await settle(pilot)
        assert len(screen_text(app).splitlines()) <= size[1]


async def test_the_first_screen_is_there_before_the_sources():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)):
        assert isinstance(app.focused, FilterInput)


async def test_typing_narrows_at_once():
    app, _ = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(pilot)
        everything = app.screen.query_one(ProbeTable).row_count
        await pilot.press(*"execve")
        await settle(pilot)
        table = app.screen.query_one(ProbeTable)
        assert 4 <= table.row_count < everything
        assert table.view.row(0).probe == "tracepoint:syscalls:sys_enter_execve"
        assert "vfs_read" not in screen_text(app)


async def test_the_cursor_stays_on_its_probe_when_the_view_changes():
    app, _ = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(pilot)
        table = app.screen.query_one(ProbeTable)
        wanted = "tracepoint:syscalls:sys_exit_execve"
        await pilot.press("down")
        while table.selected.probe != wanted:
            await pilot.press("down")
        before = table.cursor
        await type_text(pilot, "exit")
        assert table.selected.probe == wanted
        assert table.cursor != before
        await type_text(pilot, "")
        assert table.selected.probe == wanted
        await type_text(pilot, "vfs")
        assert table.cursor == 0


async def test_a_facet_puts_its_term_into_the_filter_line_and_takes_it_out():
    app, _ = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(pilot)
        app.screen.query_one(Facets).focus()
        await pilot.press("down", "enter")
        await settle(pilot)
        line = app.screen.query_one(FilterInput)
        assert line.value == "kind:tracepoint"
        assert app.screen.query_one(ProbeTable).row_count == 5
        await pilot.press("enter")
        await settle(pilot)
        assert line.value == ""


async def test_a_click_on_a_facet_toggles_it_and_a_click_on_a_row_selects_it():
    app, _ = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(pilot)
        await pilot.click(Facets, offset=(5, 1))
        await settle(pilot)
        assert app.screen.query_one(FilterInput).value == "kind:tracepoint"
        await pilot.click(ProbeTable, offset=(20, 3))
        assert app.screen.query_one(ProbeTable).cursor == 2


async def test_a_section_folds():
    app, _ = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await settle(pilot)
        facets = app.screen.query_one(Facets)
        facets.focus()
        before = facets.row_count
        await pilot.press("enter")
        assert facets.row_count < before
        await pilot.press("enter")
        assert facets.row_count == before


async def test_the_detail_shows_the_record_as_memory():
    app, _ = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "sys_exit_execve")
        text = screen_text(app)
        assert "tracepoint:syscalls:sys_exit_execve" in text
        assert "record: 24 bytes, id 861" in text
        assert "│__syscall_…│░░░░░░░░░░░│" in text
        assert "16    8 long" in text
        assert "pair  tracepoint:syscalls:sys_enter_execve" in text


async def test_rows_inside_one_field_are_folded():
    app, _ = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "sched_switch")
        assert "48 bytes of next_comm" in screen_text(app)


async def test_flag_tables_are_folded_in_the_pane_and_whole_in_the_screen():
    app, _ = make_app()
    async with app.run_test(size=(160, 60)) as pilot:
        await type_text(pilot, "sched_switch")
        assert "4 more: ⏎ opens" in screen_text(app)
        await pilot.press("down", "enter")
        await settle(pilot)
        text = screen_text(app)
        assert "more: ⏎ opens" not in text
        assert "0x80 I" in text


async def test_a_symbol_is_told_in_words():
    app, _ = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "kind:symbol vfs_write")
        text = screen_text(app)
        assert "0xffffffff81002000" in text
        assert "text, global" in text


async def test_what_cannot_be_attached_says_why_before_anything_happens():
    app, sessions = make_app()
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "kind:symbol jiffies")
        await pilot.press("down", "a")
        await settle(pilot)
        assert isinstance(app.screen, RefusalScreen)
        text = screen_text(app)
        assert "jiffies cannot be attached" in text
        assert "The symbol is data" in text
        assert not sessions
        await pilot.press("escape")
        assert not isinstance(app.screen, RefusalScreen)


async def test_what_no_list_holds_is_attached_by_its_full_name():
    app, sessions = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await type_text(pilot, "u:libc:mallo")
        assert "n attaches by full name" in screen_text(app)
        await pilot.press("f3", "enter", "enter")
        await settle(pilot)
        assert "there is no function mallo" in screen_text(app)
        assert not sessions
        await pilot.press("escape", "f3", "c", "enter", "enter")
        await settle(pilot)
        (session,) = sessions
        (probe,) = session.plan.probes
        assert probe.name.startswith("uprobe:/")
        assert probe.name.endswith(":malloc")


async def test_the_foot_names_the_keys_that_work_while_typing():
    app, _ = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        assert "f1 Help" in screen_text(app)
        await pilot.press("down")
        await settle(pilot)
        assert "? Help" in screen_text(app)


async def test_a_snapshot_has_no_kernel_to_attach_to():
    app, sessions = make_app(MemoryHost(live=False))
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "sys_enter_execve")
        await pilot.press("down", "a")
        await settle(pilot)
        assert "is a snapshot" in screen_text(app)
        await pilot.press("escape", "e")
        await settle(pilot)
        assert "is a snapshot" in screen_text(app)
        assert not sessions


async def test_a_host_with_nothing_says_so_and_stands():
    host = MemoryHost()
    host.files.clear()
    app, _ = make_app(host)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "absent kallsyms, " in screen_text(app)
        await pilot.press("down", "enter", "s")
        await settle(pilot)
        assert "No such file or directory" in screen_text(app)


async def test_names_with_escapes_and_markup_are_inert():
    host = MemoryHost()
    host.files["/proc/kallsyms"] += b"ffffffff81009000 T [red]x\x1b[31mred\t[mod]\n"
    host.label = "[bold]host\x1b]0;title\x07"
    app, _ = make_app(host)
    async with app.run_test(size=(160, 50)) as pilot:
        await type_text(pilot, "kind:symbol red")
        text = screen_text(app)
        assert "[red]x\\x1b[31mred" in text
        assert "[bold]host\\x1b]0;title\\x07" in text
        assert "\x1b" not in text


async def test_panes_are_toggled_and_the_table_keeps_eight_rows_at_80x24():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        table, detail, facets = (app.screen.query_one(kind) for kind in (ProbeTable, DetailPane, Facets))
        assert detail.display
        assert not facets.display
        assert table.page >= 8
        await pilot.press("down", "d")
        assert not detail.display
        await pilot.press("f")
        assert facets.display
        assert facets.row_count > 0


async def test_keys_of_the_list():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        table = app.screen.query_one(ProbeTable)
        await pilot.press("down", "end")
        assert table.cursor == table.row_count - 1
        await pilot.press("home")
        assert table.cursor == 0
        await pilot.press("pagedown")
        assert table.cursor == table.page
        await pilot.press("up", "pageup")
        assert table.cursor == 0
        await pilot.press("escape")
        assert isinstance(app.focused, FilterInput)


async def test_a_progress_report_only_replaces_older_progress_of_the_same_source():
    from tracescope.model import SourceReport, SourceState
    from tracescope.ui.messages import SourceChanged

    reading = SourceReport("btf", SourceState.READING, count=1)
    newer = SourceChanged(replace(reading, count=2))
    assert newer.can_replace(SourceChanged(reading))
    assert not newer.can_replace(SourceChanged(replace(reading, state=SourceState.OK)))
    assert not newer.can_replace(SourceChanged(replace(reading, name="perf")))


async def test_facets_are_there_when_the_terminal_grows():
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await pilot.resize_terminal(160, 50)
        await settle(pilot)
        assert app.screen.query_one(Facets).row_count > 0

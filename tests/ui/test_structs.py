"""The arguments of a probe, opened into their structs."""

from __future__ import annotations

import pytest
from textual.widgets import Tree
from ui.fakes import make_app, screen_text, settle, type_text
from ui.recorded import recorded_app

from tracescope.ui.screens.structs import StructScreen


async def open_types(pilot, probe):
    await type_text(pilot, probe)
    await pilot.press("down", "o")
    await settle(pilot)
    assert isinstance(pilot.app.screen, StructScreen)
    return pilot.app.screen.query_one(Tree)


def child(node, name):
    return next(found for found in node.children if found.label.plain.endswith(f" {name}"))


async def opened(pilot, node):
    node.expand()
    await settle(pilot)
    return node


async def test_a_struct_argument_opens_into_its_members_and_theirs():
    async with recorded_app() as pilot:
        tree = await open_types(pilot, "kprobe:vfs_read")
        file = await opened(pilot, child(tree.root, "file"))
        assert file.label.plain == "di     struct file * file"
        path = await opened(pilot, child(file, "f_path"))
        dentry = await opened(pilot, child(path, "dentry"))
        name = await opened(pilot, child(dentry, "d_name"))
        assert "    16    16  struct path f_path" in path.label.plain
        assert [line.label.plain.split()[0] for line in path.children] == ["16", "24"]
        assert child(dentry, "d_name").data.path == "((struct file *)arg0)->f_path.dentry->d_name"
        assert child(name, "name").data.path == "((struct file *)arg0)->f_path.dentry->d_name.name"


async def test_a_nameless_union_is_passed_through_in_the_path():
    async with recorded_app() as pilot:
        tree = await open_types(pilot, "fentry:vmlinux:vfs_read")
        file = await opened(pilot, child(tree.root, "file"))
        nameless = await opened(pilot, child(file, "(nameless)"))
        assert child(nameless, "f_rcuhead").data.path == "args->file->f_rcuhead"


async def test_a_bitfield_shows_its_place_in_bits():
    async with recorded_app() as pilot:
        tree = await open_types(pilot, "rawtracepoint:sched_switch")
        task = await opened(pilot, child(tree.root, "prev"))
        bit = child(task, "in_execve").label.plain.split()
        assert ":" in bit[0]
        assert bit[1] == "1b"


async def test_the_line_under_the_cursor_is_named_and_copied():
    async with recorded_app() as pilot:
        await open_types(pilot, "kprobe:tcp_sendmsg")
        await pilot.press("enter", "down", "y")
        await settle(pilot)
        assert pilot.app.clipboard == "((struct sock *)arg0)->__sk_common"
        assert pilot.app.clipboard in screen_text(pilot.app)
        await pilot.press("escape")
        assert not isinstance(pilot.app.screen, StructScreen)


@pytest.mark.parametrize("probe", ["tracepoint:syscalls:sys_enter_execve", "kprobe:vfs_write"])
async def test_without_btf_the_screen_says_why(probe):
    app, _ = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await type_text(pilot, probe)
        await pilot.press("down", "o")
        await settle(pilot)
        assert f"the types of {probe} are not known" in screen_text(app)

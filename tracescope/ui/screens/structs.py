"""A probe's arguments as a tree: each struct opens into its members, down to where BTF ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static, Tree
from textual.widgets.tree import TreeNode

from tracescope.catalog.arguments import Argument, arguments_of, btf_of
from tracescope.errors import Missing, TraceScopeError
from tracescope.printable import printable
from tracescope.ui import keys
from tracescope.ui.screens.refusal import RefusalScreen
from tracescope.ui.widgets.key_line import KeyLine

if TYPE_CHECKING:
    from tracescope.catalog.store import Catalog, Row
    from tracescope.sources.btf import Btf
    from tracescope.sources.btf_layout import Layout, Member

__all__ = ("StructScreen", "types_screen")


def types_screen(catalog: Catalog, row: Row) -> Screen[None]:
    """The screen of a row's argument types, or of the reason why there is none."""
    btf = btf_of(catalog, row)
    try:
        arguments = arguments_of(catalog, row)
    except TraceScopeError as error:
        return RefusalScreen(error)
    if btf is None:
        report = catalog.knowledge.reports.get("btf")
        why = report.why if report and report.why else "this host's BTF is not read"
        return RefusalScreen(Missing(f"the types of {row.probe} are not known", why, report.fix if report else ""))
    if not arguments:
        return RefusalScreen(Missing(f"the types of {row.probe} are not known", "BTF does not describe this probe"))
    return StructScreen(row.probe, btf, arguments)


@dataclass(frozen=True, slots=True)
class _Place:
    """What a line stands for: how bpftrace writes it (empty where it cannot), and what its members follow."""

    type_id: int | None
    path: str
    prefix: str
    base: int = 0
    """Where it begins in the struct that the last pointer led to, in bits."""


def _argument_place(argument: Argument) -> _Place:
    path = argument.bpftrace
    if path and not path.startswith("args") and "*" in argument.type:
        path = f"(({argument.type}){path})"
    return _Place(argument.type_id, argument.bpftrace, _prefix(path, argument.type))


def _member_place(outer: _Place, member: Member) -> _Place:
    """A nameless struct's members are written as those of the outer one."""
    start = outer.base + member.offset
    if not member.name:
        return _Place(member.type_id, "", outer.prefix, start)
    path = outer.prefix and outer.prefix + member.name
    return _Place(member.type_id, path, _prefix(path, member.type), 0 if "*" in member.type else start)


def _prefix(path: str, type_: str) -> str:
    if not path:
        return ""
    first = "[0]" if type_.endswith("]") else ""
    return f"{path}{first}{'->' if '*' in type_ else '.'}"


class StructScreen(Screen[None]):
    """Opens a struct only when the user does: they go round in circles."""

    BINDINGS: ClassVar[list[BindingType]] = list(keys.TEXT)
    AUTO_FOCUS = "Tree"

    def __init__(self, probe: str, btf: Btf, arguments: Sequence[Argument]) -> None:
        super().__init__()
        self._probe = probe
        self._btf = btf
        self._arguments = arguments

    def compose(self) -> ComposeResult:
        """Title, tree, what the cursor's line is called, keys."""
        yield Static(Content(f"types of {printable(self._probe)}: ⏎ opens, y copies"), classes="title", markup=False)
        tree: Tree[_Place] = Tree(Text("arguments"))
        tree.show_root = False
        tree.guide_depth = 2
        yield tree
        yield Static("", id="path", markup=False)
        yield KeyLine()

    def on_mount(self) -> None:
        """The arguments are the first level."""
        tree: Tree[_Place] = self.query_one(Tree)
        for argument in self._arguments:
            line = Text.assemble((f"{argument.register:<6} ", "dim"), *_declared(argument.type, argument.name))
            self._add(tree.root, line, _argument_place(argument))
        tree.root.expand()
        self.call_after_refresh(tree.move_cursor_to_line, 0)

    def _add(self, parent: TreeNode[_Place], line: Text, place: _Place) -> None:
        parent.add(line, place, allow_expand=self._layout(place) is not None)

    def _layout(self, place: _Place | None) -> Layout | None:
        """What a place opens into; nothing for a number, a struct that is only declared, or damaged BTF."""
        if place is None or place.type_id is None:
            return None
        try:
            layout = self._btf.resolve(place.type_id)
        except TraceScopeError:
            return None
        return layout if layout is not None and layout.members else None

    @on(Tree.NodeExpanded)
    def _open(self, event: Tree.NodeExpanded[_Place]) -> None:
        node = event.node
        layout = self._layout(node.data)
        if node.data is None or layout is None or node.children:
            return
        for member in layout.members:
            place = _member_place(node.data, member)
            self._add(node, _member_line(member, node.data.base + member.offset), place)

    @on(Tree.NodeHighlighted)
    def _show_path(self, event: Tree.NodeHighlighted[_Place]) -> None:
        path = event.node.data.path if event.node.data else ""
        self.query_one("#path", Static).update(Content(f" {printable(path)}"))

    def action_close(self) -> None:
        """Back to the browser."""
        self.dismiss()

    def action_copy(self) -> None:
        """Copy how bpftrace writes the line under the cursor."""
        node: TreeNode[_Place] | None = self.query_one(Tree).cursor_node
        if node is None or node.data is None or not node.data.path:
            self.notify("bpftrace has no name for this", severity="warning", markup=False)
        else:
            self.app.copy_to_clipboard(node.data.path)
            self.notify(f"copied {printable(node.data.path)}", markup=False)


def _member_line(member: Member, start: int) -> Text:
    """Offset and size in bytes, of a bitfield in bytes:bits and bits; type and name."""
    offset, size = f"{start // 8}", f"{member.size}"
    if member.bitfield_size:
        offset, size = f"{start // 8}:{start % 8}", f"{member.bitfield_size}b"
    return Text.assemble((f"{offset:>6} {size:>5}  ", "dim"), *_declared(member.type, member.name or "(nameless)"))


def _declared(type_: str, name: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return (f"{printable(type_)} ", "dim cyan"), (printable(name), "bold")

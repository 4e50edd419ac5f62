"""Every key of the TUI in one place. The ids are the names that `[keys]` in the settings may remap."""

from __future__ import annotations

from textual.binding import Binding

__all__ = ("APP", "BROWSER", "FILTER", "GROUPS", "LIVE", "ROWS", "TEXT", "TYPES")

APP = [
    Binding("e,f5", "trace_execve", "Execve", id="app.execve", tooltip="Trace the four execve tracepoints"),
    Binding("l,f6", "live", "Live", id="app.live", tooltip="The events of what is attached"),
    Binding("question_mark,f1", "help", "Help", id="app.help", key_display="?"),
    Binding("q,ctrl+q", "quit", "Quit", id="app.quit", tooltip="Detach everything and leave"),
    Binding("s,f7", "sources", "Sources", id="app.sources", tooltip="What each source gave, or why it gave nothing"),
    Binding("ctrl+c", "quit", "Quit", id="app.interrupt", priority=True, show=False),
]
TYPES = Binding("o", "types", "Types", id="browser.types", tooltip="Open the types of the probe's arguments")
"""The browser's and the detail screen's."""
BROWSER = [
    Binding("a", "attach", "Attach", id="browser.attach", tooltip="Attach the selected tracepoint, or detach it"),
    Binding("slash", "filter", "Find", id="browser.filter", key_display="/"),
    Binding("f", "toggle_facets", "Facets", id="browser.facets", tooltip="Show or hide the facets"),
    Binding("d", "toggle_detail", "Detail", id="browser.detail", tooltip="Show or hide the detail pane"),
    TYPES,
    Binding("y", "copy", "Copy", id="browser.copy", show=False, tooltip="Copy the probe's full name"),
    Binding("escape", "back", "Back to the filter", id="browser.back", show=False),
]
FILTER = [
    Binding("down,enter,tab", "leave", "To the table", id="filter.leave", key_display="↓"),
    Binding("escape", "clear", "Clear", id="filter.clear", key_display="esc"),
]
ROWS = [
    Binding("up,k", "move(-1)", "Up", id="rows.up", show=False),
    Binding("down,j", "move(1)", "Down", id="rows.down", show=False),
    Binding("pageup", "page(-1)", "Page up", id="rows.pageup", show=False),
    Binding("pagedown", "page(1)", "Page down", id="rows.pagedown", show=False),
    Binding("home", "first", "First", id="rows.first", show=False),
    Binding("end", "last", "Last", id="rows.last", show=False),
    Binding("enter", "choose", "Open", id="rows.open", key_display="⏎"),
]
LIVE = [
    Binding(
        "space",
        "pause",
        "Pause",
        id="live.pause",
        key_display="␣",
        tooltip="Hold the list still; events go on being counted",
    ),
    Binding("a,x", "detach", "Detach", id="live.detach", tooltip="Detach the probe of the selected event"),
    Binding("c", "clear", "Clear", id="live.clear", tooltip="Forget the events; the counts stay"),
    Binding("slash", "filter", "Find", id="live.filter", key_display="/"),
    Binding("p", "program", "Code", id="live.program", tooltip="The C program that runs in the kernel"),
    Binding("y", "copy", "Copy", id="live.copy", show=False, tooltip="Copy the selected line"),
    Binding("escape", "back", "Back", id="live.back", key_display="esc"),
]
TEXT = [
    Binding("escape", "close", "Close", id="text.close", key_display="esc"),
    Binding("y", "copy", "Copy", id="text.copy"),
]
GROUPS = {
    "Anywhere": APP,
    "Filter line": FILTER,
    "Lists": ROWS,
    "Browser": BROWSER,
    "Live": LIVE,
    "Other screens": TEXT,
}
"""What the help screen shows, in its order."""

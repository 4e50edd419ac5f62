"""Every key of the TUI in one place. The ids are the names that `[keys]` in the settings may remap."""

from __future__ import annotations

from textual.binding import Binding

__all__ = (
    "APP",
    "ASK",
    "ATTACH",
    "BARS",
    "BROWSER",
    "CHOOSE",
    "CONFIRM",
    "CYCLE",
    "DIFF",
    "EXPORT",
    "EXPORT_KEY",
    "FILTER",
    "GROUPS",
    "HEAT",
    "LIVE",
    "MONITOR",
    "OPTIONS",
    "PROCESSES",
    "REFUSAL",
    "REPLAY",
    "ROWS",
    "TEXT",
    "TYPES",
)

APP = [
    Binding("e,f5", "trace_execve", "Execve", id="app.execve", tooltip="Trace the four execve tracepoints"),
    Binding("l,f6", "live", "Live", id="app.live", tooltip="The events of what is attached"),
    Binding("m,f8", "processes", "Processes", id="app.processes", tooltip="What starts, fails and dies here"),
    Binding("question_mark,f1", "help", "Help", id="app.help", key_display="?"),
    Binding("q,ctrl+q", "quit", "Quit", id="app.quit", tooltip="Detach everything and leave"),
    Binding("s,f7", "sources", "Sources", id="app.sources", tooltip="What each source gave, or why it gave nothing"),
    Binding("ctrl+c", "quit", "Quit", id="app.interrupt", priority=True, show=False),
]
ATTACH = Binding(
    "a", "attach", "Attach", id="browser.attach", tooltip="Attach the marked probes or the selected one, or detach it"
)
"""The browser's and the detail screen's."""
TYPES = Binding("o", "types", "Types", id="browser.types", tooltip="Open the types of the probe's arguments")
"""The browser's and the detail screen's."""
EXPORT_KEY = Binding(
    "x", "export", "Export", id="browser.export", tooltip="Write the probes for bpftrace, BCC or libbpf: preview, save"
)
"""The browser's and the detail screen's."""
BROWSER = [
    ATTACH,
    Binding("A", "options", "Attach…", id="browser.options", tooltip="Attach with filters and other options"),
    Binding(
        "space", "mark", "Mark", id="browser.mark", key_display="␣", tooltip="Mark the row: a attaches all marked ones"
    ),
    Binding(
        "asterisk",
        "mark_all",
        "Mark all",
        id="browser.mark_all",
        key_display="*",
        show=False,
        tooltip="Mark all that the filter selects",
    ),
    Binding("u", "unmark", "Unmark", id="browser.unmark", show=False, tooltip="Forget the marks"),
    Binding("slash", "filter", "Find", id="browser.filter", key_display="/"),
    Binding("f", "toggle_facets", "Facets", id="browser.facets", tooltip="Show or hide the facets"),
    Binding("d", "toggle_detail", "Detail", id="browser.detail", tooltip="Show or hide the detail pane"),
    TYPES,
    Binding("w,f9", "choose", "Which", id="browser.choose", tooltip="Which probe to take for a purpose, in words"),
    Binding(
        "n,f3",
        "named",
        "Attach by name…",
        id="browser.named",
        show=False,
        tooltip="What no list holds: uprobe:libc:malloc, usdt:PATH:*, profile:hz:99",
    ),
    Binding("c,f10", "compare", "Compare with a snapshot…", id="browser.compare", show=False),
    Binding("f12", "snapshot", "Write a snapshot…", id="browser.snapshot", show=False),
    EXPORT_KEY,
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
    Binding("slash", "filter", "Filter", id="live.filter", key_display="/", tooltip="Words, or column:value"),
    Binding("f", "find", "Find", id="live.find", tooltip="Go to the next event that holds a text"),
    Binding("d", "probes", "Probes", id="live.probes", tooltip="Show or hide the probes: rate, lost, cost"),
    Binding("s", "sort", "Sort", id="live.sort", tooltip="Sort by the next column; a click on a title, too"),
    Binding("a", "detach", "Detach", id="live.detach", tooltip="Detach the session of the selected event"),
    Binding(
        "w",
        "save",
        "Save",
        id="live.save",
        tooltip="Save the shown events as a recording, for replay; after K with the kernel's words",
    ),
    Binding("p", "program", "Code", id="live.program", tooltip="The C program that runs in the kernel"),
    Binding("x", "export", "Export", id="live.export", tooltip="The session for bpftrace, BCC or libbpf"),
    Binding("c", "clear", "Clear", id="live.clear", tooltip="Forget the events; the counts stay"),
    Binding("n", "find_next(1)", "Find next", id="live.next", show=False),
    Binding("N", "find_next(-1)", "Find previous", id="live.previous", show=False),
    Binding("S", "reverse", "Reverse", id="live.reverse", show=False, tooltip="Sort the other way round"),
    Binding(
        "K",
        "words",
        "Kernel's words",
        id="live.words",
        show=False,
        tooltip="As trace_pipe shows them, saved and copied so too; or arguments",
    ),
    Binding("y", "copy", "Copy", id="live.copy", show=False, tooltip="Copy the selected line as it is shown"),
    Binding(
        "Y",
        "copy_json",
        "Copy as JSON",
        id="live.copy_json",
        show=False,
        tooltip="As attach --json prints it; after K as attach --words --json",
    ),
    Binding("escape", "back", "Back", id="live.back", key_display="esc"),
]
OPTIONS = [
    Binding("enter", "attach", "Attach", id="options.attach", key_display="⏎", priority=True),
    Binding("f4", "export", "Export", id="options.export", tooltip="The same as a program: bpftrace, BCC, libbpf"),
    Binding("down", "move(1)", "Next line", id="options.next", key_display="↓", priority=True),
    Binding("up", "move(-1)", "Previous line", id="options.previous", show=False, priority=True),
    Binding("escape", "close", "Cancel", id="options.close", key_display="esc"),
]
CYCLE = [
    Binding("right,space", "choose(1)", "Choose", id="options.choose", key_display="→"),
    Binding("left", "choose(-1)", "Choose back", id="options.choose_back", show=False),
]
CONFIRM = [
    Binding("y,enter", "answer(True)", "Yes", id="confirm.yes"),
    Binding("n,escape", "answer(False)", "No", id="confirm.no"),
]
REFUSAL = [
    Binding("enter,escape", "close", "Close", id="refusal.close", key_display="esc"),
    Binding("l", "log", "Log", id="refusal.log", tooltip="The whole log of the compiler or verifier"),
    Binding("y", "copy", "Copy", id="refusal.copy"),
]
PROCESSES = [
    Binding("v", "next_view", "View", id="processes.view", tooltip="Programs, live list, tree"),
    *(Binding(str(at + 1), f"view({at})", "View", id=f"processes.view{at + 1}", show=False) for at in range(3)),
    Binding("s", "sort", "Sort", id="processes.sort", tooltip="Sort by the next column; a click on a title, too"),
    Binding("S", "reverse", "Reverse", id="processes.reverse", show=False, tooltip="Sort the other way round"),
    Binding("slash", "filter", "Find", id="processes.filter", key_display="/"),
    Binding("y", "copy", "Copy", id="processes.copy", tooltip="Copy the row's command, quoted for a shell"),
    Binding("escape", "back", "Back", id="processes.back", key_display="esc", show=False),
]
MONITOR = [
    Binding("w", "record", "Record", id="monitor.record", tooltip="Record into a new file, or end the recording"),
    Binding("x", "switch", "Stop/start", id="monitor.switch", tooltip="Detach the process monitor, or attach it"),
]
REPLAY = [
    Binding("space", "pause", "Pause", id="replay.pause", key_display="␣", tooltip="Hold the time, or let it go on"),
    Binding("plus", "speed(2)", "Faster", id="replay.faster", key_display="+", tooltip="Twice as fast"),
    Binding("minus", "speed(0.5)", "Slower", id="replay.slower", key_display="-", tooltip="Half as fast"),
    Binding("left", "jump(-5)", "Back 5 s", id="replay.back", key_display="←", priority=True),
    Binding("right", "jump(5)", "On 5 s", id="replay.on", key_display="→", priority=True),
    Binding("home", "begin", "Begin", id="replay.begin", show=False, priority=True, tooltip="To the beginning"),
    Binding("end", "end", "End", id="replay.end", show=False, priority=True, tooltip="To the end"),
]
CHOOSE = [
    Binding("slash", "filter", "Find", id="choose.filter", key_display="/"),
    Binding("escape", "close", "Close", id="choose.close", key_display="esc"),
]
DIFF = [
    Binding("slash", "filter", "Find", id="diff.filter", key_display="/"),
    Binding("escape", "close", "Close", id="diff.close", key_display="esc"),
]
ASK = [
    Binding("escape", "close", "Cancel", id="ask.close", key_display="esc"),
]
COUNTING = [
    Binding("v", "next_view", "View", id="counting.view", tooltip="Histograms, or the heat map of all keys together"),
    Binding("s", "sort", "Sort", id="counting.sort", tooltip="Sort by the next column; a click on a title, too"),
    Binding("S", "reverse", "Reverse", id="counting.reverse", show=False, tooltip="Sort the other way round"),
    Binding("x", "export", "Export", id="counting.export", tooltip="The same as a program: bpftrace, BCC, libbpf"),
    Binding("y", "copy", "Copy", id="counting.copy", tooltip="Copy what was counted, as attach prints it"),
    Binding("escape", "close", "Detach", id="counting.close", key_display="esc"),
]
BARS = [
    Binding(
        "enter", "choose", "Heat map", id="counting.heat", key_display="⏎", tooltip="The heat map of this key alone"
    ),
]
HEAT = [
    Binding(
        "right",
        "key(1)",
        "Next key",
        id="counting.next_key",
        key_display="→",
        tooltip="The heat map of the next key alone; before the first one all keys together",
    ),
    Binding("left", "key(-1)", "Key before", id="counting.previous_key", show=False),
]
EXPORT = [
    Binding("right,tab", "form(1)", "Form", id="export.form", key_display="→", tooltip="bpftrace, BCC, libbpf"),
    Binding("left,shift+tab", "form(-1)", "Form back", id="export.form_back", show=False),
    Binding("b", "buffer", "Buffer", id="export.buffer", tooltip="Of BCC and libbpf: ring buffer or perf buffer"),
    Binding("w", "save", "Save", id="export.save", tooltip="Write the files into a folder"),
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
    "Counting": [*COUNTING, *BARS, *HEAT],
    "Which probe": CHOOSE,
    "Compare": DIFF,
    "Attach with options": [*OPTIONS, *CYCLE],
    "Questions": ASK,
    "Yes or no": CONFIRM,
    "Refusals": REFUSAL,
    "Processes": PROCESSES,
    "Processes of this host": MONITOR,
    "Replay": REPLAY,
    "Export": EXPORT,
    "Other screens": TEXT,
}
"""What the help screen shows, in its order."""

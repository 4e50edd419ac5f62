"""The table's latencies at 300,000 rows and more, headless: a page down drawn, a keystroke in the filter line drawn.

Run: python benchmarks/table.py [SNAPSHOT]
"""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import median, quantiles

from textual import events

from tracescope.catalog.read import read_all
from tracescope.host import open_host
from tracescope.ui.app import TraceScope
from tracescope.ui.screens.browser import BrowserScreen

WORDS = ("tcp_sendmsg", "execve", "sys_enter_*at", "kind:tracepoint sched", "vfs read", "ext4")


async def press(app, key, character=None):
    """Seconds from a key to the end of its drawing."""
    screen = app.screen
    start = time.perf_counter()
    (app.focused or screen).post_message(events.Key(key, character))
    await asyncio.sleep(0)
    # Until every queue is empty and nothing waits to be drawn.
    while any(node.message_queue_size for node in screen.walk_children(with_self=True)) or screen._dirty_widgets:
        await asyncio.sleep(0)
        screen._on_timer_update()
    return time.perf_counter() - start


def show(name, times):
    cuts = quantiles(times, n=100)
    print(f"{name:34}{median(times) * 1000:8.1f} ms{cuts[98] * 1000:8.1f} ms{max(times) * 1000:8.1f} ms")


async def run(host):
    app = TraceScope(host, read=read_all, open_session=None)
    async with app.run_test(size=(160, 50)) as pilot:
        await app.workers.wait_for_complete()
        await pilot.pause(0.5)
        screen = app.screen
        assert isinstance(screen, BrowserScreen)
        print(f"{screen.table.row_count:,} rows{'':20}{'median':>11}{'p99':>11}{'max':>11}")
        screen.table.focus()
        await pilot.pause()
        show("page down", [await press(app, "pagedown") for _ in range(200)])
        show("cursor down", [await press(app, "down") for _ in range(200)])
        screen.input.focus()
        await pilot.pause()
        times = []
        for word in WORDS:
            for character in word:
                times.append(await press(app, "space" if character == " " else character, character))
            times += [await press(app, "backspace") for _ in word]
        show("keystroke in the filter line", times)
        view = screen.table.view
        start = time.perf_counter()
        view.facets()
        print(f"{'facets of all rows':34}{(time.perf_counter() - start) * 1000:8.1f} ms")
        key = view.row(len(view) - 1).key
        start = time.perf_counter()
        view.index(key)
        print(f"{'finding the last row by its key':34}{(time.perf_counter() - start) * 1000:8.1f} ms")


if __name__ == "__main__":
    asyncio.run(run(open_host(*sys.argv[1:2])))

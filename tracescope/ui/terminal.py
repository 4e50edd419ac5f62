"""The end of the terminal: its window is closed, the connection to it breaks."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ("run_in_terminal",)

ResultT = TypeVar("ResultT")

_STATUS = 128 + signal.SIGHUP
# Seconds: to leave by itself, and to put things in order when it did not.
_GRACE, _LAST = 2.0, 10.0


def run_in_terminal(run: Callable[[], ResultT], end: Callable[[], None]) -> ResultT:
    """Run the application, then `end`: detached is however it ends, also when its terminal is gone.

    Textual can wait for ever then: what writes has ended, and nobody empties its queue. So `end` comes from another
    thread, and the process is over. Without a terminal on standard input there is nothing to watch.
    """
    over = threading.Event()

    def watch(terminal: int) -> None:
        waiting = select.poll()
        # Asked for nothing: only what cannot be declined comes, a hangup or an error.
        waiting.register(terminal, 0)
        waiting.poll()
        if over.wait(_GRACE):
            return
        last = threading.Timer(_LAST, os._exit, (_STATUS,))
        last.daemon = True
        last.start()
        try:
            end()
        finally:
            os._exit(_STATUS)

    if sys.__stdin__ is not None and sys.__stdin__.isatty():
        threading.Thread(target=watch, args=(sys.__stdin__.fileno(),), name="hangup", daemon=True).start()
    try:
        return run()
    finally:
        over.set()
        end()

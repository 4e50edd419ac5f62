"""How a BCC program reads its events, in Python. Pure."""

from __future__ import annotations

from tracescope.attach.kernel.transport import Transport
from tracescope.export.text import template

__all__ = ("stream_text",)

_TITLE = "TIME            PID     TID     PPID    COMM PROBE VALUES"
_RING = {"WAY": "ring", "OPENED": "", "LOST": "b['lost'][0].value", "LOST_CALLBACK": ""}
_PERF = {
    "WAY": "perf",
    "OPENED": ", page_cnt=64, lost_cb=on_lost",
    # Kernels before 5.2 do not tell the program.
    "LOST": "max(b['lost'][0].value, told)",
    "LOST_CALLBACK": (
        "# Lost, as far as the kernel has told: it does so with the next event that finds room.\n"
        "told = 0\n\n\ndef on_lost(count):\n    global told\n    told += count\n"
    ),
}


def stream_text(name: str, transport: Transport) -> str:
    """How events are printed, as this template says, and the function `run()` that reads them."""
    run = template("run.py.in", {**(_RING if transport is Transport.RING else _PERF), "TITLE": _TITLE})
    return template(name, {"RUN": run})

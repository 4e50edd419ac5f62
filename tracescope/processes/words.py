"""Numbers of the process monitor in words: exit status, durations, shares."""

from __future__ import annotations

import signal

from tracescope.processes.events import ExitEvent

__all__ = ("duration_words", "exit_words", "share_words", "signal_name")

_FAULT_STATUS_UNKNOWN = "status unknown"
# The real-time signals have no names of their own in between. The C library keeps the first ones for itself.
_SIGRTMIN, _SIGRTMAX = 34, 64
_UNITS = ((86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "min"), (1_000_000_000, "s"))
_SMALL_UNITS = ((1_000_000, "ms"), (1_000, "µs"), (1, "ns"))


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11, `SIGRTMIN+3` for 37."""
    if _SIGRTMIN < number <= _SIGRTMAX:
        return f"SIGRTMIN+{number - _SIGRTMIN}"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def exit_words(event: ExitEvent | None) -> str:
    """How a process ended: `exit 1`, `SIGKILL`, `SIGSEGV core`."""
    if event is None:
        return _FAULT_STATUS_UNKNOWN
    if event.signal:
        return f"{signal_name(event.signal)} core" if event.core else signal_name(event.signal)
    return _FAULT_STATUS_UNKNOWN if event.exit_code is None else f"exit {event.exit_code}"


def duration_words(ns: int) -> str:
    """A duration with two or three digits and its unit: `850 µs`, `11 ms`, `1.2 s`, `3 min`."""
    for size, unit in _UNITS + _SMALL_UNITS:
        if ns >= size:
            value = ns / size
            return f"{value:.1f} {unit}" if value < 10 and ns >= 1_000_000_000 else f"{value:.0f} {unit}"
    return "0 s"


def share_words(share: float) -> str:
    """A share in per cent, never rounded to none or to all: `83 %`, `<1 %`, `>99 %`."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")

"""Numbers of the process monitor in words: exit status, durations, shares."""

from __future__ import annotations

import signal

from tracescope.processes.events import ExitEvent

__all__ = ("duration_words", "exit_words", "share_words", "signal_name")

_FAULT_STATUS_UNKNOWN = "status unknown"
# The real-time signals have no names of their own in between. The C library keeps the first ones for itself.
_SIGRTMIN, _SIGRTMAX = 34, 64
_UNITS = ((86_400_000_000_000, "d"), (3_600_000_000_000, "h"), (60_000_000_000, "min"))


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
    if ns < 1_000_000_000:
        if ns < 1000:
            return f"{ns} ns" if ns > 0 else "0 s"
        return f"{ns / 1_000_000:.0f} ms" if ns >= 1_000_000 else f"{ns / 1000:.0f} µs"
    size, unit = next((one for one in _UNITS if ns >= one[0]), (1_000_000_000, "s"))
    value = ns / size
    return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"


def share_words(share: float) -> str:
    """A share in per cent, never rounded to none or to all: `83 %`, `<1 %`, `>99 %`."""
    if 0 < share < 0.005:
        return "<1 %"
    if 0.995 <= share < 1:
        return ">99 %"
    return f"{share:.0%}".replace("%", " %")

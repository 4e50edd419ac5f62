"""The backends by name, in the order in which they are tried."""

from __future__ import annotations

__all__ = ("AUTO", "BACKENDS", "OWN_PROGRAMS")

BACKENDS = ("bcc", "libbpf", "bpftrace", "tracefs")
AUTO = "auto"
"""The first that is there and can do what is asked."""
OWN_PROGRAMS = ("bcc", "libbpf")
"""Those that run our own programs, and so can do everything."""

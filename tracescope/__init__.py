"""TraceScope: the explorer of everything that can be traced in a running Linux kernel."""

__version__ = "0.1.0"

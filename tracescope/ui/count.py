"""From the options of the dialog to a session that counts in the kernel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tracescope.attach.backend_names import AUTO
from tracescope.errors import UsageError
from tracescope.host import Host

if TYPE_CHECKING:
    from tracescope.attach.ask.options import AttachOptions
    from tracescope.attach.counting.session import SummarySession
    from tracescope.attach.targets.target import Target

__all__ = ("count_in_kernel",)


def count_in_kernel(
    host: Host, targets: Sequence[Target], options: AttachOptions, *, backend: str = AUTO
) -> SummarySession:
    """A session that is ready to start; raises TraceScopeError. Reads the host: belongs into a thread."""
    from tracescope.attach.ask.asked import Asked
    from tracescope.attach.ask.keys import Counted, parse_keys, parse_linear
    from tracescope.attach.ask.summary import KeyKind, Pow2
    from tracescope.attach.counting.session import open_summary
    from tracescope.attach.expression.parse import parse
    from tracescope.attach.start import own_backend

    kernel, user = KeyKind.KERNEL_STACK, KeyKind.USER_STACK
    kinds = {"": (), "kernel": (kernel,), "user": (user,), "both": (kernel, user)}
    if options.stack not in kinds:
        raise UsageError(f"{options.stack!r} is no stack", "it is kernel, user or both", "kernel")
    keys = parse_keys(options.count_by, kinds[options.stack])
    value = options.hist or options.sum
    if options.lhist:
        counted = Counted(keys, *parse_linear(options.lhist))
    else:
        counted = Counted(keys, parse(value) if value else None, Pow2() if options.hist else None)
    return open_summary(
        host, targets, counted, replace(options.filters, but_not=(os.getpid(),)), asked=Asked(options.where),
        backend=own_backend(host, "counting", backend),
    )  # fmt: skip

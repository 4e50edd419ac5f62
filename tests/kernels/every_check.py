"""Every check, in the order in which they run; the last one looks at what the others left behind."""

from __future__ import annotations

import os

import export_checks
import process_checks
import verdict_checks
from checks import CHECKS, Absent, check, prepare
from traced import HOST

from tracescope.attach.kernel import bpf

__all__ = ("CHECKS", "ROOMS", "Absent", "prepare")

ROOMS = (export_checks, process_checks, verdict_checks)
"""Each registers its checks when it is imported."""


@check
def nothing_is_held_at_the_end():
    held = []
    for name in os.listdir("/proc/self/fd"):
        try:
            held.append(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    assert not [link for link in held if "bpf" in link or "perf_event" in link], held
    return {"cpus": bpf.possible_cpus(HOST)}

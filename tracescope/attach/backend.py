"""From C text to programs and maps in the kernel: BCC compiles in a child process, this process loads.

What is compiled does not depend on this boot: map references are names until they are loaded.
"""

from __future__ import annotations

import json
import mmap
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from importlib.resources import as_file, files
from typing import Protocol

from tracescope import __version__
from tracescope.attach import bcc
from tracescope.attach.kernel.loading import BY_NAME, Compiled, Loaded, MapSpec, load, with_maps
from tracescope.attach.kernel.programs import ProgramType
from tracescope.attach.source_lines import parse_listing
from tracescope.catalog import cache
from tracescope.errors import REPORT, AttachError, Refused

__all__ = ("INSTALL", "Backend", "BccBackend", "Compiled", "Loaded", "MapSpec", "load", "with_maps")

# A program for many probes takes minutes on a small board or an emulated machine.
_TIMEOUT = 600.0
# BCC's DEBUG_SOURCE.
_LISTING = 8
# Later versions of the kernel's helpers are declared with anonymous tagged members.
_CFLAGS = (
    "-fms-extensions",
    "-Wno-microsoft-anon-tag",
    "-Wno-unused-function",
    f"-DPAGE_SIZE={mmap.PAGESIZE}",
    # Where BCC meets these helpers by their names it reads all of /proc/kallsyms, to learn whether the kernel has them:
    # half of the time. Every kernel with a ring buffer has them.
    "-Dbpf_probe_read_user=read_user",
    "-Dbpf_probe_read_user_str=read_user_str",
)
INSTALL = "apt-get install python3-bpfcc"


class Backend(Protocol):
    """What turns C text into programs in the kernel."""

    def load(self, text: str, kinds: Mapping[str, ProgramType] = BY_NAME) -> Loaded:
        """Compile and load; raises AttachError or Refused. Programs refused one by one are in `refused`."""
        ...


class BccBackend:
    """BCC of the distribution, without kernel headers: our own header tree stands in for them."""

    def load(self, text: str, kinds: Mapping[str, ProgramType] = BY_NAME) -> Loaded:
        """Compile, unless this text was compiled before, and load."""
        return load(self.compile(text), kinds, lambda: self.lines(text))

    def compile(self, text: str) -> Compiled:
        """Instructions and maps, kept for the next time; errors as from `_run`."""
        key = repr((__version__, platform.machine(), _compiler(), _CFLAGS, text))
        kept = cache.load(key, "program")
        if isinstance(kept, str):
            return _answer(kept)
        # BCC writes its warnings to standard output too: the answer is the last line.
        answer = self._run(text).stdout.splitlines()[-1]
        cache.save(key, answer, "program")
        return _answer(answer)

    def lines(self, text: str) -> dict[str, dict[int, str]]:
        """By function: lines of source by the number of the instruction where each begins; errors as from `_run`."""
        return parse_listing(self._run(text, debug=_LISTING).stderr)

    def _run(self, text: str, debug: int = 0) -> subprocess.CompletedProcess[str]:
        """BCC's answer; raises AttachError with the compiler's output in `log`, Refused without BCC."""
        request = json.dumps({"text": text, "cflags": _CFLAGS, "debug": debug})
        with ExitStack() as stack:
            shim = stack.enter_context(as_file(files("tracescope.attach") / "shim"))
            script = stack.enter_context(as_file(files("tracescope.attach") / "bcc.py"))
            environment = {**os.environ, "BCC_KERNEL_SOURCE": str(shim)}
            # The machine's own words for the target: BCC takes ARCH for the kernel's.
            environment.pop("ARCH", None)
            command = [sys.executable, "-I", "-S", str(script)]
            try:
                done = subprocess.run(
                    command, input=request, capture_output=True, text=True, errors="replace",
                    timeout=_TIMEOUT, check=False, env=environment,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                why = f"no answer in {_TIMEOUT:g} s"
                raise AttachError("the program could not be compiled", why, "again on a calmer machine") from None
        if done.returncode == bcc.MISSING:
            raise Refused("nothing here can compile BPF", "BCC for Python is not installed", INSTALL)
        if done.returncode != 0:
            raise AttachError("the program could not be compiled", _first_error(done.stderr), REPORT, log=done.stderr)
        return done


def _compiler() -> list[tuple[int, int, int]]:
    """What tells one compiler and header tree from another: another may make other instructions of the same text."""
    found = bcc.find_bcc()
    places = [place for place in (found and found.origin, files("tracescope.attach") / "shim", bcc.__file__) if place]
    status = [os.stat(str(place)) for place in places if os.path.exists(str(place))]
    return [(place.st_ino, place.st_size, place.st_mtime_ns) for place in status]


def _first_error(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines[-1:] or ["BCC gave no reason"])[0].strip()


def _answer(text: str) -> Compiled:
    answer = json.loads(text)
    return Compiled(
        {name: bytes.fromhex(code) for name, code in answer["programs"].items()},
        {name: MapSpec(**spec) for name, spec in answer["maps"].items()},
    )

"""C text to a BPF object with clang, and kept for the next time."""

from __future__ import annotations

import mmap
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tracescope.attach.libbpf.translate import header
from tracescope.catalog import cache
from tracescope.errors import REPORT, AttachError, Refused

__all__ = ("FLAGS", "compile_text", "find_clang", "missing_clang", "object_of")

_TIMEOUT = 60.0
_SOURCE, _OBJECT = "tracescope.c", "tracescope.o"
FLAGS = (
    *("-target", "bpf", f"-m{sys.byteorder}-endian", "-mcpu=v2", "-O2", "-g", "-nostdinc"),
    *("-Wno-unused-function", "-Wno-unused-variable"),
)
"""What clang takes for every program, but for PAGE_SIZE."""
# Debian's clang may have its version in its name only.
_NAMES = ("clang", *(f"clang-{version}" for version in range(30, 10, -1)))
_INSTALL = "apt-get install clang"


def find_clang() -> str | None:
    """The path of clang."""
    return next((path for name in _NAMES if (path := shutil.which(name))), None)


def missing_clang() -> Refused | None:
    """Why nothing can be compiled here, or None when clang is there."""
    if find_clang():
        return None
    return Refused("nothing here can compile BPF", "clang is not installed", _INSTALL)


def object_of(text: str) -> bytes:
    """The object of a translation unit, kept for the next time; errors as from `compile_text`."""
    clang = find_clang()
    # What was compiled before clang went away still runs.
    identity = _identity(clang) if clang else None
    key = repr((identity, FLAGS, mmap.PAGESIZE, text.removeprefix(header()), cache.seal(header().encode("ascii"))))
    kept = cache.load(key, "object")
    if isinstance(kept, bytes):
        return kept
    made = compile_text(text)
    cache.save(key, made, "object")
    return made


def _identity(path: str) -> tuple[str, int, int]:
    real = os.path.realpath(path)
    status = os.stat(real)
    return real, status.st_size, status.st_mtime_ns


def compile_text(text: str, page: int = mmap.PAGESIZE) -> bytes:
    """The object of a translation unit; raises AttachError with clang's output in `log`, Refused without clang."""
    clang = find_clang()
    if clang is None:
        raise missing_clang() or Refused("nothing here can compile BPF", "clang is gone", _INSTALL)
    with tempfile.TemporaryDirectory(prefix="tracescope-") as folder:
        # A file, and not a pipe: clang reads it again for the lines that the verifier shows.
        Path(folder, _SOURCE).write_text(text, "ascii")
        command = [clang, *FLAGS, f"-DPAGE_SIZE={page}", f"-fdebug-prefix-map={folder}=.", "-c", _SOURCE, "-o", _OBJECT]
        try:
            done = subprocess.run(
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                timeout=_TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            why = f"no answer in {_TIMEOUT:g} s"
            raise AttachError("the program could not be compiled", why, "again on a calmer machine") from None
        if done.returncode != 0:
            raise AttachError("the program could not be compiled", _first_error(done.stderr), REPORT, log=done.stderr)
        return Path(folder, _OBJECT).read_bytes()


def _first_error(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line]
    return (errors or lines[-1:] or ["clang gave no reason"])[0].strip()

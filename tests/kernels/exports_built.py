"""Before the guest boots: libbpf projects of what the guest is to trace, exported from a recorded host and built here.

The guest has no memory and no patience for clang; and one program for kernels of all versions is what CO-RE promises.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from checks import NAME_OF_FILE
from exported import build, export

from tracescope.host import SnapshotHost

__all__ = ("COMM", "SELECTIONS", "build_exports")

COMM = "workload"
SELECTIONS = {
    "kprobe": ["kprobe:vfs_read", "kprobe:vfs_write"],
    "fentry": ["fentry:vmlinux:vfs_read", "fentry:vmlinux:vfs_write"],
}
_RECORDED = Path(__file__).parents[1] / "fixtures" / "hosts" / "debian12-6.1.zip"
_TYPES = "/sys/kernel/btf/vmlinux"


def build_exports(folder: Path) -> None:
    """`exports/KIND/libbpf/PROGRAM` in the folder, for each selection."""
    host, exports = SnapshotHost(_RECORDED), folder / "exports"
    try:
        shutil.rmtree(exports, ignore_errors=True)
        exports.mkdir()
        (exports / "vmlinux").write_bytes(host.read(_TYPES))
    finally:
        host.close()
    dump = ["bpftool", "btf", "dump", "file", str(exports / "vmlinux"), "format", "c"]
    (exports / "vmlinux.h").write_bytes(subprocess.run(dump, capture_output=True, check=True).stdout)
    for kind, probes in SELECTIONS.items():
        words = ["--host", str(_RECORDED), *probes, "--comm", COMM, "--show", NAME_OF_FILE]
        build(export(exports / kind, "libbpf", words), exports / "vmlinux.h")

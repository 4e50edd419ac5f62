"""Boots each kernel of TRACESCOPE_KERNELS (paths of images, with colons between) once, and reads what its checks said.

script/test-kernels fetches the kernels and sets the variable. The guest's root is this machine's, read-only; one folder
is shared for writing.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from export_checks import EXPORT_CHECKS
from exports_built import build_exports

__all__ = ("KERNELS", "SELECTED", "results_of")

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
KERNELS = [Path(image) for image in os.environ.get("TRACESCOPE_KERNELS", "").split(os.pathsep) if image]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tracescope" / "kernels"
SELECTED: list[str] = []
"""The checks that are wanted; filled when pytest knows."""
_BOOT_SECONDS = 3600
_VNG = ("--disable-kvm", "--force-9p", "--cpus", "2", "--memory", "4G", "--verbose")


@cache
def results_of(kernel: Path) -> dict[str, dict[str, object]]:
    """What each check said, by name; under "" the end of the console. The kernel is booted at the first call."""
    # Not in /tmp: the guest has one of its own.
    folder = CACHE / "run" / kernel.name
    folder.mkdir(parents=True, exist_ok=True)
    found = folder / "results.jsonl"
    found.unlink(missing_ok=True)
    flags = ("-O1", "-static", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls", "-Wno-unused-result")
    subprocess.run(["gcc", *flags, "-o", str(folder / "workload"), str(HERE / "workload.c")], check=True)
    if set(EXPORT_CHECKS).intersection(SELECTED):
        build_exports(folder)
    environment = {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PYTHONPATH": f"{ROOT}:{HERE}:{HERE.parent}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    words = [f"{name}={value}" for name, value in environment.items()]
    # In a file: vng hands the command over on the kernel's command line, which ends after 2,048 bytes.
    command = shlex.join(["env", *words, sys.executable, str(HERE / "guest.py"), str(folder), *SELECTED])
    (folder / "guest.sh").write_text(command)
    vng = shutil.which("vng")
    assert vng, "vng (virtme-ng) is not on PATH: run script/test-kernels"
    with open(folder / "console.log", "w+b") as console:
        done = subprocess.run(
            [vng, "--run", str(kernel), *_VNG, "--rwdir", str(folder), "--exec", f"sh {folder}/guest.sh; sync"],
            stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT, timeout=_BOOT_SECONDS,
        )  # fmt: skip
        console.seek(0)
        last = f"{console.read().decode(errors='replace')[-3000:]}\nvng ended with {done.returncode}"
    rows = map(json.loads, found.read_text().splitlines()) if found.exists() else ()
    return {"": {"console": last}} | {row["check"]: row for row in rows}

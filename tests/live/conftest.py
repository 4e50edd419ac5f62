"""What live tests are built with, and a program that several of them trace."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from exported import python_with_bcc


@pytest.fixture(scope="session")
def vmlinux(tmp_path_factory, require_build) -> Path:
    file = tmp_path_factory.mktemp("btf") / "vmlinux.h"
    dump = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]
    file.write_bytes(subprocess.run(dump, capture_output=True, check=True, timeout=60).stdout)
    return file


@pytest.fixture(scope="session")
def require_build() -> None:
    for tool in ("bpftool", "clang", "make", "gcc", "bpftrace"):
        assert shutil.which(tool), f"{tool} is not installed: script/test installs it"
    assert Path("/usr/include/bpf/libbpf.h").exists(), "libbpf-dev is not installed: script/test installs it"
    assert python_with_bcc(), "python3-bpfcc is not installed: script/test installs it"


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> str:
    """Functions and USDT probes: programs/usdt.c."""
    path = tmp_path_factory.mktemp("user") / "usdt"
    source = Path(__file__).parent / "programs" / "usdt.c"
    subprocess.run(["gcc", "-O1", "-o", str(path), str(source)], check=True)
    return str(path)

"""The cache on this machine: what comes from it is what the kernel says now."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracescope.catalog import cache
from tracescope.catalog.packed import KernelTypes
from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.host import LiveHost

MAIN = "import sys; from tracescope.cli.main import main; sys.exit(main())"
UPROBES = Path("/sys/kernel/tracing/uprobe_events")


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "tracescope"


def listed(*words: str) -> str:
    return subprocess.run([sys.executable, "-c", MAIN, *words], check=True, capture_output=True, text=True).stdout


def test_every_row_and_verdict_from_the_cache_is_what_the_kernel_says(live_host: LiveHost, kept: Path):
    read_sources(live_host, ALL_SOURCES)
    again = read_sources(live_host, ALL_SOURCES)
    assert isinstance(again.knowledge.btf, KernelTypes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cache.OFF, "off")
        anew = read_sources(live_host, ALL_SOURCES)
    # Other programs load and unload BPF meanwhile: what the kernel generated is not compared.
    end = min(len(table.knowledge.symbols or ()) for table in (again, anew)) - 1000
    assert again.knowledge.symbols is not None
    assert anew.knowledge.symbols is not None
    assert again.knowledge.symbols.names[:end] == anew.knowledge.symbols.names[:end]
    assert again.knowledge.symbols.addresses[:end] == anew.knowledge.symbols.addresses[:end]
    assert again.knowledge.formats == anew.knowledge.formats
    assert again.knowledge.perf == anew.knowledge.perf
    assert again.knowledge.host == anew.knowledge.host
    stay = anew.sections[-1].start if anew.knowledge.symbols.modules[1:] == [] else anew.sections[-2].start
    assert again.names[:stay] == anew.names[:stay]
    assert again.facts[:stay] == anew.facts[:stay]


def test_every_prototype_from_the_cache_is_the_kernels(live_host: LiveHost, kept: Path):
    first, again = (read_sources(live_host, ("kallsyms", "btf")) for _ in range(2))
    assert isinstance(again.knowledge.btf, KernelTypes)
    ours, theirs = again.knowledge.btf["vmlinux"], first.knowledge.btf["vmlinux"]
    assert ours.functions() == theirs.functions()
    assert ours.function("vfs_read") == theirs.function("vfs_read") is not None


def define(event: str) -> None:
    """Add or remove one event; a plain open for writing would remove all of them."""
    file = os.open(UPROBES, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(file, f"{event}\n".encode())
    finally:
        os.close(file)


def test_an_event_that_was_made_after_the_start_is_listed(kept: Path, require):
    require(UPROBES.exists(), "no uprobe events in tracefs")
    name = f"tracescope_{os.getpid()}"
    before = listed("list", "tracepoint:uprobes:*")
    define(f"p:uprobes/{name} {os.path.realpath('/bin/true')}:0x100 value=%ax")
    try:
        assert f"tracepoint:uprobes:{name}" in listed("list", "-v", "tracepoint:uprobes:*")
    finally:
        define(f"-:uprobes/{name}")
    assert name not in before
    assert name not in listed("list", "tracepoint:uprobes:*")
    assert name not in listed("list", "-v", "tracepoint:uprobes:*")


def test_the_listing_is_the_same_with_and_without_the_cache(kept: Path):
    cold, warm, off = listed("list", "-v"), listed("list", "-v"), listed("--no-cache", "list", "-v")
    assert len(list(kept.iterdir())) == 1
    assert stable(cold) == stable(warm) == stable(off)
    events = ("list", "-v", "tracepoint:*")
    cold, warm, off = listed(*events), listed(*events), listed("--no-cache", *events)
    assert [file.name.partition("-")[0] for file in sorted(kept.iterdir())] == ["catalog", "catalog", "listing"]
    assert stable(cold) == stable(warm) == stable(off)


def stable(text: str) -> list[str]:
    """The lines without what other programs make meanwhile."""
    return [line for line in text.splitlines() if "bpf" not in line and "uprobes" not in line]

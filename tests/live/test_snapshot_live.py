"""A snapshot of this machine says what this machine says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tracescope.catalog.cache import OFF
from tracescope.catalog.detail import describe
from tracescope.catalog.diff import diff
from tracescope.catalog.facts import Fact
from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog
from tracescope.host import LiveHost, SnapshotHost
from tracescope.snapshot import SnapshotReport, write_snapshot

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-c", "import sys; from tracescope.cli.main import main; sys.exit(main())"]
# Events and functions that any process can make while the test runs.
RUN_TIME = {"uprobes", "kprobes", "synthetic"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> SnapshotReport:
    file = tmp_path_factory.mktemp("snapshot") / "this.zip"
    return write_snapshot(LiveHost(), file, lambda path, done, total: None)


@pytest.fixture(scope="module")
def catalogs(report: SnapshotReport) -> tuple[Catalog, Catalog]:
    """This machine, and its snapshot."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OFF, "off")
        return read_sources(LiveHost(), ALL_SOURCES), read_sources(SnapshotHost(report.file), ALL_SOURCES)


def entries(catalog: Catalog) -> Counter[object]:
    """How often each name is there, with its kinds and facts; without what comes and goes at run time."""
    return Counter(
        (section.kinds, catalog.group(entry), catalog.names[entry], catalog.facts[entry])
        for section in catalog.sections
        for entry in range(section.start, section.end)
        if not catalog.has_fact(entry, Fact.GENERATED) and catalog.group(entry) not in RUN_TIME
    )


def test_the_sources_are_in_the_same_state(catalogs: tuple[Catalog, Catalog]):
    live, copy = ({r.name: (r.state, r.why) for r in one.knowledge.reports.values()} for one in catalogs)
    assert copy == live


def test_every_row_and_what_verdicts_are_made_of_is_the_same(catalogs: tuple[Catalog, Catalog]):
    live, copy = map(entries, catalogs)
    assert live.total() > 100_000
    assert copy - live == live - copy == Counter()
    assert catalogs[0].knowledge.host == catalogs[1].knowledge.host


def test_details_are_the_same(catalogs: tuple[Catalog, Catalog]):
    live, copy = catalogs
    view = live.view("")
    compared = 0
    for row in map(view.row, range(0, len(view), len(view) // 100)):
        twin = copy.find(row.probe)
        if twin is not None and twin.group not in RUN_TIME and not live.has_fact(row.entry, Fact.GENERATED):
            mine, theirs = describe(live, live.find(row.probe) or row), describe(copy, twin)
            assert (theirs.event, theirs.signature, theirs.verdict) == (mine.event, mine.signature, mine.verdict)
            assert (theirs.pair, theirs.alternatives, theirs.notes) == (mine.pair, mine.alternatives, mine.notes)
            compared += 1
    assert compared > 50


def test_a_diff_with_the_snapshot_finds_nothing(catalogs: tuple[Catalog, Catalog]):
    found = [
        change for change in diff(*catalogs).changes if change.probe.split(":")[1:2] not in ([g] for g in RUN_TIME)
    ]
    assert found == []


def test_the_zip_holds_what_the_kernel_shows(report: SnapshotReport):
    with zipfile.ZipFile(report.file) as archive:
        assert archive.testzip() is None
        for name in ("proc/version", "sys/kernel/tracing/available_tracers"):
            assert archive.read(name) == Path("/", name).read_bytes()
        symbols = {line.split()[2] for line in archive.read("proc/kallsyms").splitlines()}
        assert {b"vfs_read", b"do_exit"} <= symbols
    formats = sum(name.endswith("/format") for name in report.names)
    counted = sum(1 for _ in Path("/sys/kernel/tracing/events").glob("*/*/format"))
    assert abs(formats - counted) < 50  # other tests make and remove events meanwhile


def test_what_is_left_out_cannot_be_read_here_either(report: SnapshotReport):
    files = [name for name in report.left_out if not name.startswith("tools/") and "/events/" not in name]
    for name in files:
        with pytest.raises(OSError, match=r"\[Errno"):
            Path("/", name).read_bytes()


def test_the_command_interrupted_leaves_nothing(tmp_path: Path):
    process = subprocess.Popen(
        [*PROGRAM, "snapshot", str(tmp_path / "a.zip")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    )
    # Interrupt as soon as it has begun to write.
    while process.poll() is None and not list(tmp_path.iterdir()):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=100)
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


AS_NOBODY = """
import os, sys
from pathlib import Path
from tracescope.host import LiveHost
from tracescope.snapshot import write_snapshot
LiveHost().run("uname", "-a")  # what starting a program imports
os.setgroups([]), os.setgid(65534), os.setuid(65534)
report = write_snapshot(LiveHost(), Path(sys.argv[1]), lambda path, done, total: None)
print(*(error for error in report.left_out.values()), sep="\\n")
"""


def test_without_root_a_snapshot_is_partial_and_says_so(require):
    require(os.geteuid() == 0, "not root")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        file = Path(folder) / "nobody.zip"
        # Rights are dropped by the program itself: this interpreter may lie where only root can start it.
        done = subprocess.run([sys.executable, "-c", AS_NOBODY, file], capture_output=True, text=True, cwd=ROOT)
        assert (done.returncode, done.stderr) == (0, "")
        assert "tracefs cannot be read: only root may open it (fix: run as root)" in done.stdout
        catalog = read_sources(SnapshotHost(file), ("tracefs", "kallsyms"))
    assert catalog.knowledge.reports["tracefs"].state == "forbidden"
    assert catalog.knowledge.reports["kallsyms"].count > 10_000

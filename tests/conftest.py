"""What all tests share: the hosts, the rule for live tests, hypothesis profiles.

A live test (tests/live) may be skipped only for a fact of the machine it runs on: by the `require` fixture, or with a
reason that begins with "this host: ". Every other skip there is a failure: green means that the kernel was traced.
"""

from __future__ import annotations

import os
import platform
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tracescope.host import LiveHost, SnapshotHost

TESTS = Path(__file__).parent
HOSTS = TESTS / "fixtures" / "hosts"
LIVE = TESTS / "live"
THIS_HOST = "this host: "

# Slow shared machines make deadlines and the too-slow check say nothing about the code.
settings.register_profile(
    "ci", max_examples=60, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("deep", settings.get_profile("ci"), max_examples=3000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# A job in the background of a script ignores SIGINT and so do all its children: the tests' programs shall not.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _may_trace() -> bool:
    """True when this process may load BPF programs: root with CAP_SYS_ADMIN, and a kernel with bpf(2)."""
    status = Path("/proc/self/status").read_text()
    capabilities = int(status.partition("CapEff:")[2].split()[0], 16)
    has_bpf = os.path.exists("/proc/sys/kernel/unprivileged_bpf_disabled")
    return os.geteuid() == 0 and bool(capabilities >> 21 & 1) and has_bpf


def _require(fact: bool, reason: str) -> None:
    if not fact:
        pytest.skip(THIS_HOST + reason)


@pytest.fixture(scope="session")
def require() -> Callable[[bool, str], None]:
    """`require(fact, reason)` skips the test unless the fact is true of this host."""
    return _require


@pytest.fixture
def live_host() -> LiveHost:
    return LiveHost()


@pytest.fixture(scope="session")
def debian12() -> Iterator[SnapshotHost]:
    """Debian 12, kernel 6.1, bpftrace 0.17, as recorded."""
    host = SnapshotHost(HOSTS / "debian12-6.1.zip")
    yield host
    host.close()


@pytest.fixture(scope="session")
def debian11() -> Iterator[SnapshotHost]:
    """Debian 11, kernel 5.10, bpftrace 0.11, as recorded."""
    host = SnapshotHost(HOSTS / "debian11-5.10.zip")
    yield host
    host.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    live = [item for item in items if item.path.is_relative_to(LIVE)]
    for item in live:
        item.add_marker("live")
    if os.geteuid() != 0:
        reason = "not root"
    elif not _may_trace():
        reason = "no bpf(2), or not allowed to this root"
    else:
        return
    for item in live:
        item.add_marker(pytest.mark.skip(reason=THIS_HOST + reason))


def _reject_idle_skip(path: Path, report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip in tests/live that names no fact of this host into a failure."""
    if not report.skipped or hasattr(report, "wasxfail") or not path.is_relative_to(LIVE):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(THIS_HOST):
        report.outcome = "failed"
        report.longrepr = f"a live test may be skipped only for a fact of this host, not for: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item):
    report = yield
    _reject_idle_skip(item.path, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector):
    report = yield
    _reject_idle_skip(collector.path, report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the live tests: how many of them really ran on this kernel."""
    counts = {
        outcome: sum("live" in getattr(report, "keywords", ()) for report in terminalreporter.stats.get(outcome, []))
        for outcome in ("passed", "failed", "error", "skipped")
    }
    if any(counts.values()):
        shown = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        terminalreporter.write_line(f"live tests on this kernel ({platform.release()}): {shown}")

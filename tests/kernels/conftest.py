"""One test for each check on each kernel; which kernels, kernels_booted.py says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from every_check import CHECKS
from kernels_booted import KERNELS, SELECTED, results_of


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel" in metafunc.fixturenames:
        metafunc.parametrize("kernel", KERNELS, ids=[image.name.removeprefix("vmlinuz-") for image in KERNELS])
    if "check" in metafunc.fixturenames:
        metafunc.parametrize("check", CHECKS)


def pytest_collection_finish(session: pytest.Session) -> None:
    chosen = [item.callspec.params.get("check") for item in session.items if hasattr(item, "callspec")]
    SELECTED[:] = [check for check in CHECKS if check in chosen]


@pytest.fixture
def result(kernel: Path, check: str) -> dict[str, object]:
    """What the check said on the kernel."""
    results = results_of(kernel)
    assert check in results, f"the guest did not come to this check:\n{results['']['console']}"
    return results[check]

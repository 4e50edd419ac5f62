"""Every check of every_check.py on every kernel that is booted: a test each."""

from __future__ import annotations

import pytest
from kernels_booted import KERNELS


def test_there_is_a_kernel_to_boot() -> None:
    assert KERNELS, "TRACESCOPE_KERNELS names no kernel: run script/test-kernels"
    assert all(image.is_file() for image in KERNELS)


def test_check(result, record_property) -> None:
    record_property("facts", str(result.get("facts")))
    if result["outcome"] == "absent":
        pytest.skip(f"this kernel: {result['why']}")
    assert result["outcome"] == "passed", result["why"]
    print(result["facts"])

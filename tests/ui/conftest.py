"""The screen tests do not wait for what waits for a human."""

from __future__ import annotations

import pytest

from tracescope.ui.screens import browser


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Facets are counted at once when the typing stops."""
    monkeypatch.setattr(browser, "_SETTLE", 0.001)


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path):
    """Nobody's cache is read or written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

"""The recorded hosts' catalogs, joined once a session."""

from __future__ import annotations

import pytest

from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog
from tracescope.host import SnapshotHost


@pytest.fixture(scope="session")
def catalog12(debian12: SnapshotHost) -> Catalog:
    """Debian 12, kernel 6.1, with every source."""
    return read_sources(debian12, ALL_SOURCES)


@pytest.fixture(scope="session")
def catalog11(debian11: SnapshotHost) -> Catalog:
    """Debian 11, kernel 5.10, with every source."""
    return read_sources(debian11, ALL_SOURCES)

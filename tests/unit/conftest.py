"""The recorded hosts' catalogs, joined once a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog
from tracescope.host import SnapshotHost


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is taken from the user's cache, nothing is left there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def catalog12(debian12: SnapshotHost) -> Catalog:
    """Debian 12, kernel 6.1, with every source."""
    return read_sources(debian12, ALL_SOURCES)


@pytest.fixture(scope="session")
def catalog11(debian11: SnapshotHost) -> Catalog:
    """Debian 11, kernel 5.10, with every source."""
    return read_sources(debian11, ALL_SOURCES)

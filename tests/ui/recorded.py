"""The app on the recorded Debian 12."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from textual.pilot import Pilot
from ui.fakes import settle

from tracescope.attach.open import open_session
from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.store import Catalog
from tracescope.host import SnapshotHost
from tracescope.ui.app import TraceScope

__all__ = ("HOSTS", "debian12_catalog", "recorded_app")

HOSTS = Path(__file__).parent.parent / "fixtures" / "hosts"


@cache
def debian12_catalog() -> Catalog:
    """Read once: the screens only look at it."""
    return read_sources(SnapshotHost(HOSTS / "debian12-6.1.zip"), ALL_SOURCES)


@asynccontextmanager
async def recorded_app(size: tuple[int, int] = (100, 40)) -> AsyncIterator[Pilot[int]]:
    """The app, with everything read."""
    host = SnapshotHost(HOSTS / "debian12-6.1.zip")
    app = TraceScope(
        host, read=lambda _host, _report, ready, _cancelled: ready(debian12_catalog()), open_session=open_session
    )
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        yield pilot
    host.close()

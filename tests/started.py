"""Programs that a test starts and that do not outlive it."""

from __future__ import annotations

import subprocess
from typing import AnyStr

__all__ = ("Started",)


class Started(subprocess.Popen[AnyStr]):
    """A program for `with`: killed where the test fails, which would wait for its end otherwise, perhaps for ever."""

    def __exit__(self, kind: object, value: object, traceback: object) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, value, traceback)  # type: ignore[arg-type]

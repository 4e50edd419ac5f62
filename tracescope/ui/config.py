"""The user's settings: `config.toml` in the XDG configuration folder.

theme = "tracescope"      # any name of the palette's theme list
backend = "auto"          # what attaches: auto, bcc, libbpf, bpftrace, tracefs
live_rows = 100000        # events the live screen keeps
[keys]
"browser.attach" = "t"    # binding id = key (ids: keys.py, or the help screen)
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tracescope.attach.backend_names import AUTO, BACKENDS
from tracescope.errors import UsageError

__all__ = ("Config", "config_path", "parse_config", "read_config")

_THEME = "tracescope"
_LIVE_ROWS = 100_000
_MAX_LIVE_ROWS = 5_000_000


@dataclass(frozen=True, slots=True)
class Config:
    """What the user may choose."""

    theme: str = _THEME
    live_rows: int = _LIVE_ROWS
    keys: dict[str, str] = field(default_factory=dict)
    backend: str = AUTO


def config_path() -> Path:
    """Where the settings are looked for."""
    import platformdirs

    return platformdirs.user_config_path("tracescope") / "config.toml"


def read_config(path: Path | None = None) -> Config:
    """The settings; the defaults when there is no file. Raises UsageError for a file that cannot be understood."""
    path = path or config_path()
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return Config()
    except (OSError, UnicodeError) as error:
        raise _wrong(path, str(error)) from None
    try:
        return parse_config(text)
    except (tomllib.TOMLDecodeError, ValueError) as error:
        raise _wrong(path, str(error)) from None


def parse_config(text: str) -> Config:
    """The settings in a TOML text. Raises ValueError with a sentence."""
    data: dict[str, Any] = tomllib.loads(text)
    if unknown := data.keys() - {"theme", "live_rows", "backend", "keys"}:
        raise ValueError(f"no setting is named {sorted(unknown)[0]!r}")
    theme = data.get("theme", _THEME)
    if not isinstance(theme, str):
        raise ValueError("theme must be a name")
    rows = data.get("live_rows", _LIVE_ROWS)
    if not isinstance(rows, int) or isinstance(rows, bool) or not 100 <= rows <= _MAX_LIVE_ROWS:
        raise ValueError(f"live_rows must be a number from 100 to {_MAX_LIVE_ROWS:,}")
    keys = data.get("keys", {})
    if not isinstance(keys, dict) or not all(isinstance(key, str) and key for key in keys.values()):
        raise ValueError('[keys] must hold lines like "browser.attach" = "t"')
    return Config(theme, rows, keys, _backend(data))


def _backend(data: dict[str, Any]) -> str:
    name = data.get("backend", AUTO)
    if name not in (AUTO, *BACKENDS):
        raise ValueError(f"backend must be one of {', '.join((AUTO, *BACKENDS))}")
    return str(name)


def _wrong(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} was not understood, the defaults are used", why, "mend or remove the file")

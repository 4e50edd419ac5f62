"""The files of a snapshot: a zip read in place, or a folder. Names are host paths without the first slash.

`tools/refused.json` says what the host did not show when it was recorded: `{name: {"state", "what", "why", "fix"}}`.
"""

from __future__ import annotations

import json
import os
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from tracescope.errors import Damaged, Forbidden, Missing, TraceScopeError, from_oserror

__all__ = ("MAX_BYTES", "REFUSED", "Folder", "Refusals", "Zip", "parse_refusals", "read_refusals", "refusals_json")

REFUSED = "tools/refused.json"
"""Recorded beside what the tools printed; a snapshot of an older program has none."""

# The largest file read whole: four times the largest vmlinux BTF or kallsyms known, so a zip bomb ends here.
MAX_BYTES = 256 << 20

# tracefs is five folders deep. A name in a zip can hold 32,000, and each would be kept with all of its parents.
_MAX_DEPTH = 32

_TAKE_AGAIN = "take it again: tracescope snapshot FILE.zip"


def _too_large(name: str) -> Damaged:
    return Damaged(f"/{name} is too large", f"over {MAX_BYTES >> 20} MiB")


class Folder:
    """A snapshot in a folder. Links that lead out of it are treated as not there."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def _path(self, name: str) -> Path:
        try:
            path = (self._root / name).resolve()
        except (RuntimeError, ValueError) as error:  # links in a circle, a NUL in the name
            raise Damaged(f"/{name} cannot be read", str(error)) from None
        if not path.is_relative_to(self._root):
            raise Missing(f"/{name} is not in the snapshot", "it leads out of the folder")
        return path

    def read(self, name: str) -> bytes:
        """The whole file."""
        try:
            path = self._path(name)
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):  # a FIFO would never answer
                raise Damaged(f"/{name} cannot be read", "it is not a regular file")
            if status.st_size > MAX_BYTES:
                raise _too_large(name)
            return path.read_bytes()
        except OSError as error:
            raise from_oserror(error, f"/{name}") from None

    def names(self, name: str) -> list[str]:
        """The names in a folder, sorted."""
        try:
            return sorted(os.listdir(self._path(name)))
        except OSError as error:
            raise from_oserror(error, f"/{name}") from None

    def exists(self, name: str) -> bool:
        """True when the snapshot holds this file or folder."""
        try:
            return self._path(name).exists()
        except (OSError, TraceScopeError):
            return False

    def close(self) -> None:
        """Nothing is kept open."""


# What zipfile raises on wrong bytes; a RuntimeError is an encrypted file, a NotImplementedError an unknown method.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    MemoryError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


class Zip:
    """A snapshot in a zip, read in place."""

    def __init__(self, path: Path, notes: list[str]) -> None:
        self._lock = threading.Lock()
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise Damaged(f"{path} is not a snapshot", "neither a zip nor a folder")
            self._zip = zipfile.ZipFile(path)
        except OSError as error:
            raise from_oserror(error, str(path)) from None
        except _ZIP_ERRORS as error:
            raise Damaged(f"{path} is not a snapshot", str(error), _TAKE_AGAIN) from None
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self._folders: dict[str, set[str]] = {"": set()}
        odd = [info.filename for info in self._zip.infolist() if not self._add(info)]
        if odd:
            notes.append(f"{len(odd)} names in the zip are not paths in a host and are ignored: {odd[0][:80]!r}…")
        if not self._infos:
            self._zip.close()
            raise Damaged(f"{path} is not a snapshot", "the zip holds no file that can be used", _TAKE_AGAIN)

    def _add(self, info: zipfile.ZipInfo) -> bool:
        name = info.filename
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or not 0 < len(parts) <= _MAX_DEPTH:
            return False
        if info.is_dir():
            self._folders.setdefault("/".join(parts), set())
        else:
            self._infos["/".join(parts)] = info
        for depth, part in enumerate(parts):
            self._folders.setdefault("/".join(parts[:depth]), set()).add(part)
        return True

    def read(self, name: str) -> bytes:
        """The whole file."""
        info = self._infos.get(name)
        if info is None:
            raise Missing(f"/{name} is not in the snapshot")
        # The size is the zip's own claim, but zipfile hands over no more than that, whatever follows.
        if info.file_size > MAX_BYTES:
            raise _too_large(name)
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise Damaged(f"/{name} cannot be unpacked", "it is packed in another way than deflate")
        try:
            with self._lock, self._zip.open(info) as file:
                return file.read()
        except _ZIP_ERRORS as error:
            raise Damaged(f"/{name} cannot be unpacked", str(error) or type(error).__name__) from None

    def names(self, name: str) -> list[str]:
        """The names in a folder, sorted."""
        if name not in self._folders:
            raise Missing(f"/{name} is not in the snapshot")
        return sorted(self._folders[name])

    def exists(self, name: str) -> bool:
        """True when the snapshot holds this file or folder."""
        return name in self._infos or name in self._folders

    def close(self) -> None:
        """Close the zip."""
        self._zip.close()


_STATES: dict[str, type[TraceScopeError]] = {"missing": Missing, "forbidden": Forbidden, "damaged": Damaged}


class Refusals:
    """What a recorded host refused, by name; `name in refusals` when the host had it and did not show it."""

    def __init__(self, errors: Mapping[str, TraceScopeError], *, recorded: bool = True) -> None:
        self.recorded = recorded
        """False for a snapshot that does not say what was refused."""
        self._errors = errors
        self._names: dict[str, set[str]] = {}
        for name in (name for name, error in errors.items() if not isinstance(error, Missing)):
            parts = name.split("/")
            for depth, part in enumerate(parts[:_MAX_DEPTH]):
                self._names.setdefault("/".join(parts[:depth]), set()).add(part)

    def __contains__(self, name: str) -> bool:
        folder, _, last = name.rpartition("/")
        return last in self.names(folder)

    def names(self, folder: str) -> set[str]:
        """The names in a folder that the host had and did not show."""
        return self._names.get(folder, set())

    def check(self, name: str) -> None:
        """Refuse again what was refused."""
        error = self._errors.get(name)
        if error is not None:
            raise type(error)(error.what, error.why, error.fix)


def refusals_json(errors: Mapping[str, TraceScopeError]) -> bytes:
    """What `parse_refusals` reads."""
    states = {of_type: state for state, of_type in _STATES.items()}
    rows = {
        name: {"state": states.get(type(error), "damaged"), "what": error.what, "why": error.why, "fix": error.fix}
        for name, error in errors.items()
    }
    return json.dumps(rows, indent=1).encode()


def parse_refusals(data: bytes) -> Refusals:
    """The refusals of a recorded host; Damaged for anything else."""
    try:
        rows = json.loads(data)
        return Refusals(
            {
                name: _STATES[row["state"]](*(str(row.get(part, "")) for part in ("what", "why", "fix")))
                for name, row in rows.items()
            }
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Damaged(f"/{REFUSED} cannot be read", f"{type(error).__name__}: {error}") from None


def read_refusals(files: Folder | Zip, notes: list[str]) -> Refusals:
    """The refusals that a snapshot records; none, with a note, when they are damaged."""
    try:
        return parse_refusals(files.read(REFUSED))
    except Missing:
        pass
    except TraceScopeError as error:
        notes.append(f"what the host refused is not known, it counts as missing: {error}")
    return Refusals({}, recorded=False)

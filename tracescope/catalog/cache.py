"""What was parsed, kept between two starts: one file a key under $XDG_CACHE_HOME/tracescope (default ~/.cache).

A file is a magic, a CRC-32 of the rest, and by `marshal` the key and plain builtins. `marshal` runs nothing that it
reads, but wrong bytes may crash it. So it sees only what this user wrote (the folder and the file are ours and closed
to all others, links are not followed) and what fits the checksum; anything else is thrown away.
"""

from __future__ import annotations

import marshal
import os
import stat
import time
from contextlib import suppress
from typing import Any, Final
from zlib import crc32

__all__ = ("OFF", "load", "save", "seal")

OFF: Final = "TRACESCOPE_CACHE"
"""The environment variable that switches the cache off: `TRACESCOPE_CACHE=off`."""

_MAGIC = b"tracescope cache\n"
_HEADER = len(_MAGIC) + 4

_KEPT = {"catalog": 12, "types": 4}
_KEPT_SMALL = 256
"""Files of a kind that stay: the newest ones. A host's whole catalog has about 7 MB, a program or offsets some KB."""
_MAX_BYTES = 256 << 20
_STALE = 3600
"""Seconds after which an unfinished file is nobody's."""


def seal(*parts: bytes) -> str:
    """The digest of these bytes: a key, or what tells whether they are the same as before."""
    # OpenSSL takes milliseconds to load: only who seals pays.
    from hashlib import blake2b

    digest = blake2b(digest_size=32)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def load(key: str, kind: str = "catalog") -> object | None:
    """What was saved under this key and kind, or None; a file that cannot be trusted is removed."""
    folder = _open_folder(create=False)
    if folder is None:
        return None
    try:
        data = _read(folder, _name(key, kind))
        if data is None:
            return None
        if _is_whole(data):
            found_key, plain = marshal.loads(memoryview(data)[_HEADER:])
            return plain if found_key == key else None
        with suppress(OSError):
            os.unlink(_name(key, kind), dir_fd=folder)
        return None
    finally:
        os.close(folder)


def save(key: str, plain: Any, kind: str = "catalog") -> bool:
    """Keep builtins under this key and kind, in place of what was there; False when that cannot be done."""
    folder = _open_folder(create=True)
    if folder is None:
        return False
    try:
        payload = marshal.dumps((key, plain))
        _write(folder, _name(key, kind), _MAGIC + crc32(payload).to_bytes(4, "big") + payload)
        _clean(folder, kind)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def _name(key: str, kind: str) -> str:
    """Two keys may have one name: the later takes the file."""
    data = key.encode("utf-8", "surrogatepass")
    return f"{kind}-{crc32(data):08x}{len(data):x}"


def _is_whole(data: bytes) -> bool:
    payload = memoryview(data)[_HEADER:]
    return len(payload) > 0 and data[:_HEADER] == _MAGIC + crc32(payload).to_bytes(4, "big")


def _is_ours(status: os.stat_result) -> bool:
    """True when this user owns it and nobody else may read or write it."""
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _open_folder(*, create: bool) -> int | None:
    """The open folder, when there is one that can be trusted and the cache is on."""
    if os.environ.get(OFF) == "off":
        return None
    home = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(home):
        home = os.path.expanduser("~/.cache")
    path = os.path.join(home, "tracescope")
    try:
        if create:
            for wanted in (home, path):
                _make(wanted)
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if _is_ours(os.fstat(folder)):
        return folder
    os.close(folder)
    return None


def _make(path: str) -> None:
    """Make a folder in one of ours: root, with a user's HOME, leaves nothing there."""
    if not os.path.lexists(path) and os.stat(os.path.dirname(path)).st_uid == os.geteuid():
        with suppress(FileExistsError):
            os.mkdir(path, 0o700)


def _read(folder: int, name: str) -> bytes | None:
    """A file's bytes, nothing when they cannot be trusted, None when there is no file."""
    try:
        # Not to wait for a FIFO.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError:
        return b""
    with os.fdopen(file, "rb") as opened:
        status = os.fstat(file)
        if not (stat.S_ISREG(status.st_mode) and _is_ours(status) and status.st_size <= _MAX_BYTES):
            return b""
        try:
            os.utime(file)  # used: it stays
            return opened.read()
        except OSError:
            return b""


def _write(folder: int, name: str, data: bytes) -> None:
    """Write a whole file beside, then put it in place: a reader sees the old one or the new one."""
    unfinished = f".{name}.{os.getpid()}.{time.monotonic_ns()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=folder), "wb") as file:
            file.write(data)
        os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        with suppress(OSError):
            os.unlink(unfinished, dir_fd=folder)
        raise


def _clean(folder: int, kind: str) -> None:
    """Remove all but the newest files of a kind, and what a process that died left."""
    ages = []
    for name in os.listdir(folder):
        with suppress(OSError):
            ages.append((os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime, name))
    finished = sorted((age, name) for age, name in ages if name.startswith(f"{kind}-"))
    old = [name for _, name in finished[: -_KEPT.get(kind, _KEPT_SMALL)]]
    old += [name for age, name in ages if name.startswith(".") and age < time.time() - _STALE]
    for name in old:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)

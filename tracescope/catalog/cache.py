"""What was parsed, kept between two starts: one file a key under $XDG_CACHE_HOME/tracescope (default ~/.cache).

A file is magic, BLAKE2b checksum, key, and plain builtins by `marshal`. That module may crash on wrong bytes and trusts its
input, but it runs nothing, and it sees only bytes that this user wrote: the folder and the file must be ours and closed to others
(root would else read what a user wrote), links are not followed, and the checksum must fit. What does not is thrown away.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
import time
from contextlib import suppress
from typing import Final

__all__ = ("OFF", "load", "save", "seal")

OFF: Final = "TRACESCOPE_CACHE"
"""The environment variable that switches the cache off: `TRACESCOPE_CACHE=off`."""

_MAGIC = b"tracescope cache\n"
_DIGEST = 32
_HEADER = len(_MAGIC) + 2 * _DIGEST

_KEPT = 12
"""Files that stay: the newest ones. A host's whole catalog has about 8 MB."""
_MAX_BYTES = 256 << 20
_STALE = 3600
"""Seconds after which an unfinished file is nobody's."""


def seal(*parts: bytes) -> bytes:
    """The digest of these bytes: a key, or what tells whether bytes are the same as before."""
    # OpenSSL takes milliseconds to load: only who has a cache pays.
    from hashlib import blake2b

    digest = blake2b(digest_size=_DIGEST)
    for part in parts:
        digest.update(part)
    return digest.digest()


def load(key: bytes) -> object | None:
    """What was saved under this key, or None; a file that cannot be trusted is removed."""
    folder = _open_folder(create=False)
    if folder is None:
        return None
    try:
        data = _read(folder, _name(key))
        if data is None:
            return None
        if _is_whole(data, key):
            return marshal.loads(memoryview(data)[_HEADER:])  # type: ignore[arg-type]
        with suppress(OSError):
            os.unlink(_name(key), dir_fd=folder)
        return None
    finally:
        os.close(folder)


def save(key: bytes, plain: object) -> bool:
    """Keep builtins under this key, in place of what was there; False when that cannot be done, which is no error."""
    folder = _open_folder(create=True)
    if folder is None:
        return False
    try:
        payload = marshal.dumps(plain)
        checked = key + payload
        _write(folder, _name(key), _MAGIC + seal(checked) + checked)
        _clean(folder)
    except OSError:
        return False
    finally:
        os.close(folder)
    return True


def _name(key: bytes) -> str:
    return key[:16].hex()


def _is_whole(data: bytes, key: bytes) -> bool:
    if len(data) <= _HEADER or not data.startswith(_MAGIC):
        return False
    checked = memoryview(data)[len(_MAGIC) + _DIGEST :]
    return checked[:_DIGEST] == key and data[len(_MAGIC) : len(_MAGIC) + _DIGEST] == seal(checked)


def _is_ours(status: os.stat_result) -> bool:
    """True when this user owns it and nobody else may write or read it."""
    return status.st_uid == os.geteuid() and not status.st_mode & 0o077


def _open_folder(*, create: bool) -> int | None:
    """The open folder, when there is one that can be trusted."""
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


def _clean(folder: int) -> None:
    """Remove all but the newest files, and what a process that died left."""
    ages = []
    for name in os.listdir(folder):
        with suppress(OSError):
            ages.append((os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime, name))
    finished = sorted((age, name) for age, name in ages if not name.startswith("."))
    old = [name for _, name in finished[:-_KEPT]]
    old += [name for age, name in ages if name.startswith(".") and age < time.time() - _STALE]
    for name in old:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)

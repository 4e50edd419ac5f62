# The largest file read whole: four times the largest vmlinux BTF or kallsyms known, so a zip bomb ends here.
MAX_BYTES = 256 << 20

# tracefs is five folders deep. A name in a zip can hold 32,000, and each would be kept with all of its parents.
_MAX_DEPTH = 32

_TAKE_AGAIN = "take it again: tracescope snapshot FILE.zip"

def from_oserror(error: OSError, path: str) -> TraceScopeError:
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.EPERM, errno.EACCES):
        fix = "" if os.geteuid() == 0 else "run as root"
        return Forbidden(f"{path} cannot be read", reason, fix)
    if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENODEV):
        return Missing(f"{path} is not there", reason)
    return Damaged(f"{path} cannot be read", reason)


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
        try:
            return sorted(os.listdir(self._path(name)))
        except OSError as error:
            raise from_oserror(error, f"/{name}") from None

    def exists(self, name: str) -> bool:
        try:
            return self._path(name).exists()
        except (OSError, TraceScopeError):
            return False

    def close(self) -> None:
        pass


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
        if name not in self._folders:
            raise Missing(f"/{name} is not in the snapshot")
        return sorted(self._folders[name])

    def exists(self, name: str) -> bool:
        return name in self._infos or name in self._folders

    def close(self) -> None:
        self._zip.close()

"""What may be asked of a session beside its probes, and the texts that a user types read into it."""

from __future__ import annotations

import pwd
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tracescope.attach.ask.cgroups import find_cgroup
from tracescope.attach.plan import NO_FILTERS, Filters
from tracescope.errors import TraceScopeError, UsageError
from tracescope.host import Host

__all__ = ("FILTER_NAMES", "AttachOptions", "OptionError", "read_filters", "user_id")

_COMM_BYTES = 15


@dataclass(frozen=True, slots=True)
class AttachOptions:
    """Whose events are wanted, which of them, what of each, and whether they are handed over or summed up."""

    filters: Filters = NO_FILTERS
    pair: bool = False
    """Entry and return are one event, with its duration."""
    where: str = ""
    """A condition on the arguments."""
    show: tuple[str, ...] = ()
    """Values to show, as expressions."""
    count_by: str = ""
    """Count the events by these keys."""
    hist: str = ""
    """Sort this value into buckets."""
    lhist: str = ""
    """The same in equal steps, as `VALUE:LOW:HIGH:STEP`."""
    sum: str = ""
    """Add this value up."""
    stack: str = ""
    """Count the events by their stack: `kernel`, `user` or `both`."""
    count: bool = False
    """Count the events, also when no key is named."""
    top: int = 0
    """Show only so many of the largest; 0: as many as are readable."""
    interval: float = 0.0
    """Seconds of a slice of time; 0: as the screen likes."""

    @property
    def counts(self) -> bool:
        """True when the kernel sums events up instead of handing them over."""
        return bool(self.count or self.count_by or self.hist or self.lhist or self.sum or self.stack)


class OptionError(UsageError):
    """An option whose text cannot be understood: its name, and where in the text the mistake begins."""

    def __init__(self, option: str, at: int, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.option = option
        self.at = at


def user_id(name: str) -> int:
    """The number of a user, by name or number; raises UsageError."""
    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise UsageError(f"there is no user {name!r}") from None


def read_filters(host: Host, texts: Mapping[str, str], filters: Filters = NO_FILTERS) -> Filters:
    """The filters that these texts (by the names of FILTER_NAMES, values separated by commas) put in; OptionError."""
    values = {name: tuple(_values(host, name, text)) for name, text in texts.items()}
    return replace(filters, **values)


def _values(host: Host, name: str, text: str) -> Iterator[Any]:
    for match in re.finditer(r"[^,]+", text):
        word = match.group().strip()
        if not word:
            continue
        try:
            yield _READERS[name](host, word)
        except TraceScopeError as error:
            at = match.start() + match.group().index(word)
            raise OptionError(name, at, error.what, error.why, error.fix) from None


def _number(_host: Host, word: str) -> int:
    if not (word.isascii() and word.isdecimal() and 0 < int(word) < 1 << 31):
        raise UsageError(f"{word!r} is no process id", "", "a number from 1 on")
    return int(word)


def _comm(_host: Host, word: str) -> str:
    size = len(word.encode("utf-8", "surrogateescape"))
    if size > _COMM_BYTES:
        raise UsageError(f"{word!r} is too long", f"the kernel keeps {_COMM_BYTES} bytes of a command name", "cut it")
    return word


_READERS: Mapping[str, Callable[[Host, str], Any]] = {
    "pid": _number,
    "tree": _number,
    "uid": lambda _host, word: user_id(word),
    "comm": _comm,
    "cgroup": find_cgroup,
}
FILTER_NAMES = tuple(_READERS)
"""The filters that a text can say, each with the name of its command line option."""

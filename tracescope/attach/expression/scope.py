"""What the names in an expression can be: the probe's arguments, builtins, constants. Pure."""

from __future__ import annotations

import errno
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from tracescope.attach.expression.mistake import Unfit
from tracescope.attach.expression.near import suggestion
from tracescope.attach.expression.types import Operand
from tracescope.sources.btf import Btf

__all__ = ("ARGUMENTS", "Scope", "constant")

ARGUMENTS = "args"
"""The word before an argument's name."""

# include/linux/errno.h: the kernel's own, which user space never sees, and tracepoints do.
_KERNEL_ERRORS = {"ERESTARTSYS": 512, "ERESTARTNOINTR": 513, "ERESTARTNOHAND": 514, "ENOIOCTLCMD": 515}
_KERNEL_ERRORS |= {"ERESTART_RESTARTBLOCK": 516, "EPROBE_DEFER": 517, "EOPENSTALE": 518, "ENOTSUPP": 524}
_WORDS = {"NULL": 0, "false": 0, "true": 1}


@dataclass(frozen=True, slots=True)
class Scope:
    """What a probe offers: `builtins` by bare name (`pid`, `comm`, `ret`, …), `args` behind `args.`."""

    builtins: Mapping[str, Operand] = field(default_factory=dict)
    args: Mapping[str, Operand] = field(default_factory=dict)
    btf: Btf | None = None
    """What members are looked up in."""

    def argument(self, name: str) -> Operand:
        """An argument; raises Unfit with the near names."""
        if name in self.args:
            return self.args[name]
        if name in self.builtins:
            raise Unfit(f"there is no argument {name}", f"did you mean {name}")
        raise Unfit(
            f"there is no argument {name}", suggestion(name, (f"{ARGUMENTS}.{word}" for word in self.args), "arguments")
        )

    def unknown(self, word: str, tables: Sequence[Mapping[str, int]]) -> Unfit:
        """Why a bare word means nothing here."""
        if word == ARGUMENTS:
            names = (f"{ARGUMENTS}.{name}" for name in self.args)
            return Unfit(f"`{ARGUMENTS}` is no value by itself", suggestion("", names, "arguments"))
        if word in self.args:
            return Unfit(f"there is no builtin or constant {word}", f"did you mean {ARGUMENTS}.{word}")
        return Unfit(f"there is no builtin or constant {word}", self._near(word, tables))

    def _near(self, word: str, tables: Sequence[Mapping[str, int]]) -> str:
        """Builtins first; the hundreds of constants are named only when they are near."""
        first = [*self.builtins, *(f"{ARGUMENTS}.{name}" for name in self.args)]
        constants = [name for table in tables for name in table]
        fix = suggestion(word, [*first, *constants, *_everywhere()], "names")
        return fix if fix.startswith("did you mean") else suggestion(word, first, "names")


@cache
def _everywhere() -> Mapping[str, int]:
    """Names that need no operand: errors and signals as numbers, NULL, true and false."""
    errors = {name: number for number, name in errno.errorcode.items()}
    signals = {member.name: member.value for member in signal.Signals}
    return {**signals, **errors, **_KERNEL_ERRORS, **_WORDS}


def constant(word: str, groups: Sequence[Sequence[Mapping[str, int]]]) -> int | None:
    """The value of a name in the first group of tables that has it, else of an error or a signal; None without one.

    Raises Unfit when the tables of that group do not agree.
    """
    for group in (*groups, (_everywhere(),)):
        values = {table[word] for table in group if word in table}
        if len(values) > 1:
            shown = " and ".join(f"{value:#x}" for value in sorted(values))
            raise Unfit(f"{word} has several values here: {shown}", "write the number")
        if values:
            return values.pop()
    return None

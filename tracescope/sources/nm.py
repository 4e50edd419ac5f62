"""What a symbol's type letter means.

Source: the nm manual and bfd/syms.c (binutils) for the core kernel; for rows with a module kernel/module/kallsyms.c
picks the letter and kernel/kallsyms.c its case: upper means exported, whatever the ELF binding. In kernels with
separate tables of GPL exports (5.10 and 6.1 do) an EXPORT_SYMBOL_GPL keeps its lower case.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

__all__ = ("LETTERS", "TEXT_LETTERS", "SymbolClass", "classify", "is_text_letter")


@dataclass(frozen=True, slots=True)
class SymbolClass:
    """A type letter in words: `name` is a short class word, `scope` one word or two, `sentence` for the detail pane."""

    letter: str
    name: str
    scope: str
    sentence: str


TEXT_LETTERS = frozenset("tTwW")
"""The letters of probe candidates: code, and weak symbols, whose letter hides the section."""

# Letters whose case is the binding: upper for global, lower for local.
_CASED = {
    "a": ("absolute", "An absolute value that linking does not move; in the kernel also per-CPU data"),
    "b": ("bss", "Data that starts as zeros"),
    "d": ("data", "Initialised data"),
    "g": ("small data", "Initialised data in the section for small objects"),
    "r": ("read-only data", "Read-only data"),
    "s": ("small bss", "Data that starts as zeros, in the section for small objects"),
    "t": ("text", "Code: a function, or a mark in the text section"),
}

# Letters whose case says something else, or nothing.
_FIXED = {
    "C": ("common", "global", "Uninitialised data that the linker places"),
    "c": ("small common", "global", "Uninitialised data that the linker places, in the section for small objects"),
    "I": ("indirect", "unknown", "Another name for another symbol"),
    "i": ("indirect function", "unknown", "A function that picks the real function when the program is loaded (IFUNC)"),
    "N": ("debug", "unknown", "A debugging symbol"),
    "n": ("read-only section", "local", "In a read-only section that is not code, data or debugging information"),
    "p": ("stack unwind", "local", "Stack unwind information"),
    "U": ("undefined", "unknown", "Used here, defined elsewhere"),
    "u": ("unique", "unique", "A global of which a whole process has one copy (GNU unique)"),
    "V": ("weak object", "weak", "A weak data object: a strong symbol of the same name replaces it"),
    "v": ("weak object", "weak", "A weak data object that may stay undefined"),
    "W": ("weak", "weak", "A weak symbol, often a function: a strong symbol of the same name replaces it"),
    "w": ("weak", "weak", "A weak symbol, often a function, that may stay undefined"),
    "-": ("stabs", "unknown", "A stabs debugging symbol (a.out)"),
    "?": ("unknown", "unknown", "nm does not know this kind of symbol"),
}

# kernel/module/kallsyms.c, elf_type(): what it means by letters that differ from nm's, in lower case.
_MODULE = {
    "n": ("debug", "In a debugging section"),
    "u": ("undefined", "Used by the module, defined elsewhere"),
    "v": ("weak object", "A weak data object"),
    "w": ("weak", "A weak symbol, often a function"),
    "?": ("unknown", "In a section that the kernel does not classify"),
}

LETTERS = frozenset("".join(_CASED) + "".join(_CASED).upper() + "".join(_FIXED))
"""Every letter that nm prints for an ELF or a.out symbol."""


def is_text_letter(letter: str) -> bool:
    """True when a symbol of this letter may be code."""
    return letter in TEXT_LETTERS


@cache
def _core(letter: str) -> SymbolClass:
    if letter in _FIXED:
        return SymbolClass(letter, *_FIXED[letter])
    name, words = _CASED[letter.lower()]
    scope = "global" if letter.isupper() else "local"
    seen = "every file may use it" if letter.isupper() else "only its own file sees it"
    return SymbolClass(letter, name, scope, f"{words}; {scope}: {seen}")


@cache
def _in_module(letter: str, exported: bool) -> SymbolClass:
    low = letter.lower()
    name, words = _MODULE.get(low) or _CASED[low]
    if low == "?":
        return SymbolClass(letter, name, "unknown", words)
    if exported or letter.isupper():
        return SymbolClass(letter, name, "exported", f"{words}; exported: other modules may use it")
    return SymbolClass(letter, name, "not exported", f"{words}; its letter does not show it as exported")


def classify(letter: str, module: str = "", *, exported: bool = False) -> SymbolClass:
    """The class of a type letter in a row of the core kernel, or of `module`; every letter has one.

    `exported`: a `__ksymtab_` row names the symbol, which for a GPL export may be the only sign.
    """
    if module and (letter.lower() in _MODULE or letter.lower() in _CASED):
        return _in_module(letter, exported)
    if letter in LETTERS:
        return _core(letter)
    return SymbolClass(letter, "unknown", "unknown", "Not a letter that nm prints")

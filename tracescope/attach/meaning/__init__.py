"""What the numbers of system calls and tracepoints mean: flags by name, addresses, times, structures.

`meaning_of` and `result_meaning` tell it for system calls, `field_meaning` for other tracepoints; `copies_of` says
which bytes behind a pointer a program has to copy for it; `words` makes words of what was copied. Nothing here does
I/O, but for the packaged tables.
"""

from tracescope.attach.meaning.calls import meaning_of, result_meaning
from tracescope.attach.meaning.copies import Copy, Phase
from tracescope.attach.meaning.fields import field_meaning
from tracescope.attach.meaning.kinds import Choice, Flat, Meaning
from tracescope.attach.meaning.wanted import Condition, Wanted, copies_of, limited
from tracescope.attach.meaning.words import Told, Word, chosen, key, names_of, tell, words

__all__ = (
    "Choice",
    "Condition",
    "Copy",
    "Flat",
    "Meaning",
    "Phase",
    "Told",
    "Wanted",
    "Word",
    "chosen",
    "copies_of",
    "field_meaning",
    "key",
    "limited",
    "meaning_of",
    "names_of",
    "result_meaning",
    "tell",
    "words",
)

"""What an argument's declaration says about how it is printed. Pure."""

from __future__ import annotations

import re

from tracescope.attach.meaning import copies_of, meaning_of
from tracescope.attach.record.call_memory import call_of
from tracescope.attach.targets.target import Shape, Target
from tracescope.model import Field

__all__ = ("is_char", "leads_to_text")


def is_char(field: Field) -> bool:
    """True for characters, or an array of them."""
    return re.sub(r"\bconst\b", "", field.type).strip() == "char"


def leads_to_text(target: Target, field: Field) -> bool:
    """True for a pointer to a text that ends in a NUL."""
    if field.type.replace("const", "").split() != ["char", "*"]:
        return False
    if target.shape is Shape.EXEC:
        return field.name == "filename"
    # A `char *` of a system call is a buffer as often as a text: its meaning says which.
    call = call_of(target)
    wanted = copies_of(meaning_of(call, field.name, field.type)) if call else ()
    return any(one.copy.text for one in wanted) if call else True

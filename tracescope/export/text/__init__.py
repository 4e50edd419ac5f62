"""The fixed parts of exported programs, with `@NAME@` for what is put in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

__all__ = ("template",)


def template(name: str, values: Mapping[str, str]) -> str:
    """A file of this folder with its values; raises KeyError for one that is not given."""
    text = files(__package__).joinpath(name).read_text("utf-8")
    # Once through the text: what is put in is not looked at again.
    return re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], text)

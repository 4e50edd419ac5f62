"""The C program that runs in the kernel for a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.highlight import highlight

from tracescope.printable import printable
from tracescope.ui.feed import probes_of
from tracescope.ui.screens.text import TextScreen

if TYPE_CHECKING:
    from tracescope.attach.event_session import EventSession

__all__ = ("program_screen",)


def program_screen(session: EventSession) -> TextScreen:
    """The program's text, coloured as C."""
    lines = session.program_text.expandtabs(4).splitlines()
    text: Content = highlight("\n".join(map(printable, lines)), language="c")
    return TextScreen(f"the program for {', '.join(probes_of(session))}", text, copied=session.program_text)

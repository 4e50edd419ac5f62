"""Events of the live screen into a recording, as `attach --save` writes it and `replay` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tracescope.host import Host

if TYPE_CHECKING:
    from tracescope.attach.event_session import EventSession

__all__ = ("save_events",)


def save_events(
    host: Host, records: Sequence[tuple[EventSession, bytes]], path: Path, lost: int, *, in_words: bool = False
) -> None:
    """Write records, oldest first, into a new file, with the number of events lost; TraceScopeError. For a thread.

    `in_words`: with the kernel's own words where there are some, as `attach --words --save` does.
    """
    from tracescope.attach.decode.event_lines import json_line
    from tracescope.recording import Recorder, host_facts

    sessions = dict.fromkeys(session for session, _ in records)
    about = {"probes": [probe.name for session in sessions for probe in session.plan.probes], "command": None}
    for session in sessions if in_words else ():
        session.prepare_words()
    with Recorder(path, kind="attach", host=host_facts(host), session=about) as recorder:
        for session, record in records:
            event = session.decode(record)
            if in_words and event.words is None:
                event = event._replace(words=session.words(record))
            recorder.write(json_line(event))
        recorder.close(lost)

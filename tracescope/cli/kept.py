"""What a command printed, kept until the host would say something else: the next time nothing is read or joined.

As good as the catalog's own cache: the same fingerprint tells whether it is still true.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import TypeAlias, cast

from tracescope.catalog import cache
from tracescope.catalog.fingerprint import fingerprint
from tracescope.host import Host

__all__ = ("print_and_keep", "print_kept")

_Kept: TypeAlias = tuple[tuple[str, ...], str, str, str]
"""The sources, their fingerprint, standard output, standard error."""
_KIND = "listing"
_MAX_CHARACTERS = 4 << 20


def print_kept(host: Host, words: object) -> bool:
    """Print what was kept for these words of a command line; False when there is nothing that is still true."""
    plain = cache.load(repr(words), _KIND)
    if plain is None:
        return False
    sources, key, out, err = cast("_Kept", plain)
    # Whoever looked at the host may have noticed something, which is news.
    if fingerprint(host, sources) != key or host.notes:
        return False
    sys.stderr.write(err)
    sys.stdout.write(out)
    return True


def print_and_keep(host: Host, words: object, sources: Collection[str], run: Callable[[], int]) -> int:
    """Run what prints an answer from these sources; keep it if it may be kept. The status."""
    from contextlib import redirect_stderr, redirect_stdout
    from io import StringIO

    # Which symbols there are now is not in the fingerprint of a running kernel.
    key = None if host.live and "kallsyms" in sources else fingerprint(host, sources)
    if key is None:
        return run()
    out, err = StringIO(), StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            status = run()
    finally:
        sys.stderr.write(err.getvalue())
        sys.stdout.write(out.getvalue())
    if status == 0 and not host.notes and out.tell() <= _MAX_CHARACTERS and fingerprint(host, sources) == key:
        cache.save(repr(words), (tuple(sources), key, out.getvalue(), err.getvalue()), _KIND)
    return status

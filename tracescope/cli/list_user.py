"""`list uprobe:FILE:GLOB`, `usdt:FILE:PROVIDER:GLOB`: the functions and USDT probes of a program or library."""

from __future__ import annotations

from tracescope.attach.targets.find import find_targets
from tracescope.attach.targets.target import Target
from tracescope.catalog.advice import stability
from tracescope.cli.output import print_json, print_text
from tracescope.errors import Refused
from tracescope.host import Host

__all__ = ("list_user",)


def list_user(host: Host, patterns: list[str], *, verbose: bool, as_json: bool) -> None:
    """Print them; raises TraceScopeError for a file that is not there, or in which nothing matches."""
    if not host.live:
        why = "uprobe: and usdt: are looked up in the files of this machine"
        raise Refused("a snapshot holds no programs and libraries", why, "leave out --host")
    for target in find_targets(host, patterns):
        fields = target.format.fields if verbose else ()
        if as_json:
            print_json(_row(target) | ({"args": [{"name": f.name, "type": f.type} for f in fields]} if verbose else {}))
        else:
            print_text(target.probe, *(f"    {field.type} {field.name}" for field in fields))


def _row(target: Target) -> dict[str, object]:
    """As `list --json` has it for every probe; the group is the file."""
    group, _, name = target.probe.partition(":")[2].rpartition(":")
    return {
        "probe": target.probe,
        "kind": target.kind,
        "group": group,
        "name": name,
        "module": "",
        "stability": stability(target.kind, name).value,
        "verdict": "yes",
        "reasons": [],
        "sources": ["elf"],
    }

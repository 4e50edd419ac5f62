"""Say which probe to take for a purpose, best first, and why.

tracescope choose short-lived processes
tracescope choose tcp retransmit
tracescope choose                   every topic that there is
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from tracescope.catalog.detail import has_probe
from tracescope.catalog.read import ALL_SOURCES, read_sources
from tracescope.catalog.topics import Choice, choose, load_topics
from tracescope.cli.output import note, print_json, print_text
from tracescope.cli.sources import complain_of
from tracescope.errors import Refused
from tracescope.host import open_host

__all__ = ("add_arguments", "run")


# Topics and verdicts do not need what perf and bpftrace list.
_SOURCES = tuple(source for source in ALL_SOURCES if source not in ("perf", "bpftrace"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("words", metavar="WORD", nargs="*", help="what you look for, in words; without: all topics")
    parser.add_argument("--json", action="store_true", help="one object a line")


def run(args: argparse.Namespace) -> int:
    """Print the choices that this host has, or all topics."""
    if not args.words:
        _print_topics(as_json=args.json)
        return 0
    host = open_host(args.host)
    catalog = read_sources(host, _SOURCES)
    complain_of(host, catalog)
    words = " ".join(args.words).split()
    choices = choose(words, has_probe(catalog))
    if not choices or all(choice.near for choice in choices):
        near = ", ".join(dict.fromkeys(choice.title for choice in choices))
        raise Refused(
            f"no topic for '{' '.join(words)}'", "", f"did you mean: {near}" if near else "try a tool's name: execsnoop"
        )
    if args.json:
        for choice in choices:
            print_json(asdict(choice))
        return 0
    _print(choices)
    return 0


def _print_topics(*, as_json: bool) -> None:
    topics = load_topics()
    width = max(len(topic.id) for topic in topics)
    for topic in topics:
        if as_json:
            print_json({"topic": topic.id, "title": topic.title, "words": topic.words})
        else:
            print_text(f"{topic.id:{width}}  {topic.title}")


def _print(choices: list[Choice]) -> None:
    topic = ""
    for choice in choices:
        if choice.topic != topic:
            topic = choice.topic
            print_text(f"{choice.title}")
            if choice.watch:
                print_text(f"  watch: {choice.watch}")
        if choice.probe:
            print_text(f"  {choice.probe}")
            print_text(f"      {choice.why}")
        else:
            note(f"{choice.title}: {choice.why}")

"""What people look for ("short-lived processes", "tcp retransmit") and which probes show it, from `topics.toml`."""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from tracescope.errors import Damaged
from tracescope.model import ProbeKind

__all__ = ("Choice", "Topic", "TopicProbe", "choose", "load_topics", "parse_topics", "topics_of")

_MOST_TOPICS = 3
_KEEP = 0.6
"""A topic is shown when it scores this share of the best one."""
_ENDINGS = ("ing", "ed", "er", "ion")
_IGNORED = re.compile(
    "an?|and|are|at|by|can|do|does|find|for|from|get|how|in|into|is|it|me|my|of|on|or|see|show|that|the|this|to|trace|was|"
    "watch|what|when|where|which|who|why|with"
)
"""Words of a question that say nothing about its topic."""


@dataclass(frozen=True, slots=True)
class TopicProbe:
    """One probe of a topic, or a glob over probes; `fallbacks` are the next best where a host lacks it."""

    probe: str
    why: str
    fallbacks: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The probe and what may stand in for it, best first."""
        return (self.probe, *self.fallbacks)


@dataclass(frozen=True, slots=True)
class Topic:
    """Something people look for: `words` are what they type, `watch` is what to beware of, `probes` come best first."""

    id: str
    title: str
    words: tuple[str, ...]
    why: str
    watch: str
    probes: tuple[TopicProbe, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of an answer, `rank` counted from 1 over the whole answer.

    `probe` is empty when the topic has nothing for this host (`why` says so), or when nothing matched the words and the
    topic is only `near` them ("did you mean").
    """

    rank: int
    topic: str
    title: str
    probe: str
    why: str
    watch: str
    near: bool = False


@dataclass(frozen=True, slots=True)
class _Index:
    """A topic's search words with their weight, and its phrases with the spaces taken out."""

    topic: Topic
    tokens: dict[str, float]
    phrases: frozenset[str]


def parse_topics(text: str) -> tuple[Topic, ...]:
    """The topics of a TOML text; Damaged when a key is unknown or missing, or a value is of the wrong type."""
    try:
        table = tomllib.loads(text)
        if set(table) != {"topic"}:
            raise ValueError(f"expected [[topic]] tables only, found {sorted(table)}")
        topics = tuple(_topic(row) for row in table["topic"])
        if len({topic.id for topic in topics}) != len(topics):
            raise ValueError("two topics have the same id")
    except (TypeError, AttributeError, ValueError) as error:
        raise Damaged("the topics cannot be read", str(error)) from None
    return topics


@cache
def load_topics() -> tuple[Topic, ...]:
    """The topics that come with TraceScope."""
    return parse_topics(files("tracescope.catalog").joinpath("topics.toml").read_text(encoding="utf-8"))


def choose(words: Sequence[str], has: Callable[[str], bool]) -> list[Choice]:
    """The probes to take for what the words ask, best first, only those that `has` says this host has.

    `has` is asked with full probe names and with globs over them (`tracepoint:ext4:*`, `uprobe:*/libc.so.6:malloc`); a
    glob counts when any probe matches. Empty when not even a near topic is found.
    """
    asked = _tokens(" ".join(words))
    scored = sorted(((_score(asked, index), -number) for number, index in enumerate(_indexes())), reverse=True)
    best = scored[0][0]
    if best <= 0:
        return [
            Choice(rank, topic.id, topic.title, "", topic.why, topic.watch, near=True)
            for rank, topic in enumerate(_near("".join(asked)), 1)
        ]
    found = [_indexes()[-number].topic for score, number in scored[:_MOST_TOPICS] if score >= _KEEP * best]
    lines = [(topic, probe, why) for topic in found for probe, why in _offered(topic, has)]
    return [
        Choice(rank, topic.id, topic.title, probe, why, topic.watch)
        for rank, (topic, probe, why) in enumerate(lines, 1)
    ]


def topics_of(probe: str) -> list[Topic]:
    """The topics that name this probe, by glob too; a raw tracepoint counts as its tracepoint, fentry as its kprobe."""
    subject = _subject(probe)
    return [
        topic
        for topic in load_topics()
        if any(
            subject == _subject(name) or ("*" in name and fnmatchcase(probe, name))
            for entry in topic.probes
            for name in entry.names
        )
    ]


def _topic(row: dict[str, Any]) -> Topic:
    probes = tuple(
        TopicProbe(**{**_checked(entry, TopicProbe), "fallbacks": _texts(entry.get("fallbacks", []))})
        for entry in row.get("probes", [])
    )
    if not probes:
        raise ValueError(f"topic {row.get('id')} has no probes")
    return Topic(**{**_checked(row, Topic), "words": _texts(row.get("words", [])), "probes": probes})


def _checked(row: dict[str, Any], kind: type[Topic | TopicProbe]) -> dict[str, Any]:
    """The row, when it has only keys of this dataclass and every text of it."""
    unknown = set(row) - {field.name for field in fields(kind)}
    if unknown:
        raise ValueError(f"unknown key {min(unknown)!r} in {row.get('id', row.get('probe'))!r}")
    for field in fields(kind):
        if field.type == "str" and not isinstance(row.get(field.name), str):
            raise ValueError(f"{field.name} of {row.get('id', row.get('probe'))!r} is not a text")
    return row


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"expected a list of texts, found {value!r}")
    return tuple(value)


def _offered(topic: Topic, has: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """The topic's probes on this host with the reason for each, or one empty name with the reason why there is none."""
    names = [(next(filter(has, entry.names), ""), entry.why) for entry in topic.probes]
    here = [(name, why) for name, why in names if name]
    if here:
        yield from here
        return
    tried = topic.probes[0].probe
    more = f" nor {len(topic.probes) - 1} others" if len(topic.probes) > 1 else ""
    yield "", f"This host has none of its probes: not {tried}{more}."


def _tokens(text: str) -> list[str]:
    """The words that matter, in lower case and singular, cut at spaces, hyphens, underscores and other marks."""
    return [_singular(word) for word in re.findall(r"[^\W_]+", text.lower()) if not _IGNORED.fullmatch(word)]


def _singular(word: str) -> str:
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is", "fs")):
        return word[:-1]
    return word


@cache
def _indexes() -> tuple[_Index, ...]:
    return tuple(_index(topic) for topic in load_topics())


def _index(topic: Topic) -> _Index:
    phrases = frozenset("".join(_tokens(phrase)) for phrase in (topic.id, topic.title, *topic.words))
    probes = " ".join(name.split(":", 1)[1] for entry in topic.probes for name in entry.names)
    tokens = dict.fromkeys(_tokens(probes), 0.4)
    tokens.update(dict.fromkeys((*phrases, *_tokens(" ".join(topic.words))), 0.8))
    tokens.update(dict.fromkeys(_tokens(f"{topic.id} {topic.title}"), 1.0))
    return _Index(topic, tokens, phrases)


def _score(asked: Sequence[str], index: _Index) -> float:
    """How well a topic answers, 0 for not at all; a word that few topics know counts more, a whole phrase doubles."""
    score = sum(_rarity(known) * _quality(known, index) for known in map(_known, asked))
    return score * (2 if "".join(asked) in index.phrases else 1)


def _quality(word: str, index: _Index) -> float:
    """1 for a word of the title, less for one of its words or probes, and for the beginning or a part of one."""
    if word in index.tokens:
        return index.tokens[word]
    if len(word) < 3:
        return 0.0
    roots = {word.removesuffix(ending) for ending in _ENDINGS}
    starts = [w for t, w in index.tokens.items() if t.startswith(word) or t in roots]
    parts = [w for t, w in index.tokens.items() if word in t]
    return max(0.7 * max(starts, default=0), 0.4 * max(parts, default=0))


@cache
def _rarity(word: str) -> float:
    hits = sum(_quality(word, index) > 0 for index in _indexes())
    return math.log(1 + len(_indexes()) / hits) if hits else 0.0


@cache
def _known(word: str) -> str:
    """The word itself when any topic knows it, else the word it is most likely a typo of."""
    if _rarity(word) > 0:
        return word
    vocabulary = sorted({token for index in _indexes() for token in index.tokens})
    return next(iter(difflib.get_close_matches(word, vocabulary, n=1, cutoff=0.75)), word)


def _near(asked: str) -> list[Topic]:
    """The topics with a phrase that looks a little like the text, likest first."""
    phrases = {phrase: index.topic for index in reversed(_indexes()) for phrase in index.phrases}
    close = difflib.get_close_matches(asked, phrases, n=2 * _MOST_TOPICS, cutoff=0.5)
    return list(dict.fromkeys(phrases[phrase] for phrase in close))[:_MOST_TOPICS]


def _subject(probe: str) -> tuple[str, str]:
    """What a probe looks at, whatever it is attached by: an event's or a function's name."""
    kind, _, rest = probe.partition(":")
    name = rest.rpartition(":")[2]
    if kind in (ProbeKind.KPROBE, ProbeKind.KRETPROBE, ProbeKind.FENTRY, ProbeKind.FEXIT):
        return "function", name
    if kind == ProbeKind.RAWTRACEPOINT or (kind == ProbeKind.TRACEPOINT and "*" not in name):
        return "event", name
    return kind, rest

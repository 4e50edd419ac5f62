"""The help text: what the words, letters, colours and keys mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from textual.content import Content

from tracescope.model import ProbeKind
from tracescope.ui import keys
from tracescope.ui.detail_text import STABILITY_WORDS
from tracescope.ui.look import STABILITY_STYLE

__all__ = ("help_text",)

_KINDS = {
    ProbeKind.TRACEPOINT: "a place in the kernel's source that its authors keep for tracing, with named fields",
    ProbeKind.RAWTRACEPOINT: "the same place, with the arguments as the kernel has them (typed by BTF)",
    ProbeKind.FENTRY: "the entry of a function, cheap and typed by BTF",
    ProbeKind.FEXIT: "the exit of a function, with arguments and return value",
    ProbeKind.KPROBE: "the entry of nearly any function, arguments by register",
    ProbeKind.KRETPROBE: "the return of a function",
    ProbeKind.UPROBE: "the entry of a function of a program or library; n asks for its name",
    ProbeKind.URETPROBE: "its return",
    ProbeKind.USDT: "a place that a program's authors keep for tracing; n asks for its name",
    ProbeKind.SOFTWARE: "a counter of the kernel, sampled",
    ProbeKind.HARDWARE: "a counter of the processor, sampled",
}
_QUERY = (
    ("tcp send", "both words, anywhere in group:name"),
    ("sys_enter_*at", "a glob over the whole name"),
    ("kind:tracepoint group:sched", "filters: kind group module type verdict arg returns field"),
    ("type:t,T", "symbol letters; verdict:yes what can be attached"),
    ("-migrate", "not this word; -kind:symbol not this kind"),
    ("tracepoint:sched:*", "a full name, as bpftrace takes it"),
)
_LETTERS = (
    ("t T", "code; d D data, r R read-only data, b B zeroed data, w W v V weak, a A absolute"),
    ("case", "core kernel: upper case is global, lower case local"),
    ("in modules", "a trap: upper case means exported, lower case not exported, whatever its scope"),
    ("export", "EXPORT_SYMBOL does not decide whether a function can be probed: kprobes take any symbol's address"),
)

_WRITTEN = {"question_mark": "?", "slash": "/", "asterisk": "*", "plus": "+", "minus": "-"}


def help_text(keymap: Mapping[str, str]) -> Content:
    """The whole help; `keymap` (binding id to key) is what the user remapped."""
    from tracescope.catalog.verdict import EXPLAIN

    blocks = [
        _block("Keys", _keys(keymap)),
        _block("The filter line", map(_pair, _QUERY)),
        _block("Kinds of probe", (_pair((kind.value, words)) for kind, words in _KINDS.items())),
        _block(
            "Stability, best first",
            (Content.styled(f"  {words}", STABILITY_STYLE[step]) for step, words in STABILITY_WORDS.items()),
        ),
        _block("Symbol types", map(_pair, _LETTERS)),
        _block("Why a probe cannot be attached", (_pair((code.value, words)) for code, (words, _) in EXPLAIN.items())),
    ]
    return Content("\n\n").join(blocks)


def _block(title: str, lines: Iterable[Content]) -> Content:
    return Content("\n").join([Content.styled(title, "bold $text-primary"), *lines])


def _pair(pair: tuple[str, str]) -> Content:
    return Content.assemble((f"  {pair[0]:<18}", "bold"), f" {pair[1]}")


def _keys(keymap: Mapping[str, str]) -> Iterator[Content]:
    for place, bindings in keys.GROUPS.items():
        yield Content.styled(f"  {place}", "dim")
        for binding in bindings:
            keys_of = keymap.get(binding.id or "", binding.key).split(",")
            key = " ".join(_WRITTEN.get(one, one) for one in keys_of)
            words = binding.tooltip or binding.description
            yield Content.assemble((f"  {key:<22}", "bold"), f" {words}", (f"  {binding.id}", "dim"))

"""Everything known of one probe, as text with styles. Nothing here is markup: host data goes through `printable`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from textual.content import Content

from tracescope.errors import TraceScopeError
from tracescope.model import Answer, EventFormat, FlagTable, Stability
from tracescope.printable import printable
from tracescope.ui.look import ANSWER_STYLE, STABILITY_STYLE, amount
from tracescope.ui.picture import memory_picture

if TYPE_CHECKING:
    from tracescope.catalog.detail import Detail

__all__ = ("STABILITY_WORDS", "attach_words", "detail_text", "error_text")

STABILITY_WORDS = {
    Stability.STABLE: "stable: tracepoints are kept by convention",
    Stability.TYPED: "typed: BTF describes the arguments, the next kernel may change them",
    Stability.UNSTABLE: "unstable: a plain kernel function, it may go or change at any time",
    Stability.FRAGILE: "fragile: a copy that the compiler made, gone with the next build",
}
_ANSWER_WORDS = {Answer.YES: "can be attached", Answer.NO: "cannot be attached", Answer.UNKNOWN: "nobody can say"}
_FOLDED = 4
"""So many names of a flag table are shown folded."""


def detail_text(detail: Detail, width: int, attach: Content, *, unfold: bool = False) -> Content:
    """The detail pane's text; `attach` says what the attach key does, `unfold` shows flag tables whole."""
    blocks = [
        Content("\n").join(list(_head(detail, attach))),
        *_functions(detail),
        *_symbol(detail),
        *_record(detail, width, unfold=unfold),
        *_advice(detail),
        *_origin(detail),
    ]
    return Content("\n\n").join([block for block in blocks if block.plain])


def error_text(error: TraceScopeError) -> Content:
    """What, why and fix, one below the other."""
    lines = [Content.styled(printable(error.what), "bold $text-error")]
    if error.why:
        lines.append(Content.assemble(("why  ", "dim"), printable(error.why)))
    if error.fix:
        lines.append(Content.assemble(("fix  ", "dim"), (printable(error.fix), "$text-success")))
    return Content("\n").join(lines)


def attach_words(error: TraceScopeError | None, probe: str, name: str, key: str) -> Content:
    """What the attach key does to a probe, attached by this name: or why it does nothing, and the fix."""
    if error is None:
        what = "attaches" if name == probe else f"attaches {printable(name)}"
        return Content.assemble((key, "bold $text-primary"), (f" {what}", "$text-success"))
    words = Content.assemble((f"{key} does not attach: ", "$text-warning"), printable(error.why or error.what))
    if error.fix:
        words = Content.assemble(words, "\n    fix: ", (printable(error.fix), "$text-success"))
    return words


def _head(detail: Detail, attach: Content) -> Iterator[Content]:
    yield Content.styled(printable(detail.probe), "bold")
    if detail.verdict is not None:
        style = ANSWER_STYLE[detail.verdict.answer]
        words = f"{detail.verdict.answer.value}: {_ANSWER_WORDS[detail.verdict.answer]}"
        # `no` is explained below.
        says_more = attach.plain and detail.verdict.answer is not Answer.NO
        yield Content.assemble((words, style), "   " if says_more else "", attach if says_more else "")
    for code, sentence, fix in detail.reasons:
        yield Content.assemble(("  ", ""), (code, "$text-warning"), f"  {sentence}")
        if fix:
            yield Content.assemble("    fix: ", (fix, "$text-success"))
    if detail.stability is not None:
        yield Content.styled(STABILITY_WORDS[detail.stability], STABILITY_STYLE[detail.stability])


def _functions(detail: Detail) -> Iterator[Content]:
    if detail.signature is None:
        return
    lines = [_title("prototype"), Content(printable(detail.signature.prototype))]
    if detail.arguments:
        wide = max(len("bpftrace"), *(len(argument.bpftrace) for argument in detail.arguments))
        lines.append(Content.styled(f"  register {'bpftrace':<{wide}} argument: o opens its type", "dim"))
    for argument in detail.arguments:
        name = f" {printable(argument.bpftrace):<{wide}} "
        declared = printable(f"{argument.type} {argument.name}".strip())
        lines.append(Content.assemble(f"  {argument.register:<8}", (name, "$text-primary"), declared))
    yield Content("\n").join(lines)


def _symbol(detail: Detail) -> Iterator[Content]:
    symbol = detail.symbol
    if symbol is None:
        return
    lines = [_title("symbol")]
    if detail.symbol_class is not None:
        about = detail.symbol_class
        lines.append(Content.assemble((symbol.type, "bold"), f"  {about.name}, {about.scope}: {about.sentence}"))
    address = f"{symbol.address:#018x}" if symbol.address else "hidden (kptr_restrict)"
    lines.append(_fact("address", address))
    lines.append(_fact("module", symbol.module or "vmlinux (the core kernel)"))
    if detail.exported is not None:
        words = "yes, modules may use it" if detail.exported else "no"
        lines.append(_fact("exported", f"{words} (this does not decide whether it can be probed)"))
    yield Content("\n").join(lines)


def _record(detail: Detail, width: int, *, unfold: bool) -> Iterator[Content]:
    event = detail.event
    if event is None:
        return
    title = _title(f"record: {amount(event.size, 'byte')}, id {event.id}")
    yield Content("\n").join([title, memory_picture(event, width)])
    yield _field_table(event)
    for table in detail.tables:
        yield _flag_table(table, unfold=unfold)
    if event.print_fmt:
        yield Content("\n").join([_title("print format"), Content(printable(event.print_fmt))])


def _field_table(event: EventFormat) -> Content:
    fields = [*event.common, *event.fields]
    wide = min(26, max((len(field.full_type) for field in fields), default=4))
    lines = [Content.styled(f"offset size {'type':<{wide}} name", "dim")]
    for field in fields:
        style = "dim" if field in event.common else ""
        place = f"{field.offset:>6} {field.size:>4} "
        kind = f"{printable(field.full_type):<{wide}} "
        lines.append(Content.assemble((place, "dim"), (kind, style or "$text-primary"), (printable(field.name), style)))
    return Content("\n").join(lines)


def _flag_table(table: FlagTable, *, unfold: bool) -> Content:
    kind = "set of" if table.kind == "flags" else "one of"
    names = table.names if unfold else table.names[:_FOLDED]
    lines = [_title(f"{printable(table.field)}: {kind} {amount(len(table.names), 'name')}")]
    lines += [Content.assemble((f"{value:>#12x} ", "dim"), printable(name)) for value, name in names]
    if len(names) < len(table.names):
        lines.append(Content.styled(f"{'…':>12} {len(table.names) - len(names)} more: ⏎ opens", "dim"))
    return Content("\n").join(lines)


def _advice(detail: Detail) -> Iterator[Content]:
    if detail.pair:
        yield _fact("pair", printable(detail.pair))
    if detail.alternatives:
        lines = [_title("better or other probes")]
        for probe, why in detail.alternatives:
            lines.append(Content.assemble("  ", (printable(probe), "$text-primary"), (f"  {why}", "dim")))
        yield Content("\n").join(lines)


def _origin(detail: Detail) -> Iterator[Content]:
    if detail.topics:
        yield _fact("topics", ", ".join(detail.topics))
    if detail.sources:
        yield _fact("known from", ", ".join(detail.sources))
    for note in detail.notes:
        yield Content.styled(printable(note), "$text-warning")


def _title(text: str) -> Content:
    return Content.styled(text, "dim underline")


def _fact(name: str, value: str) -> Content:
    return Content.assemble((f"{name}  ", "dim"), printable(value))

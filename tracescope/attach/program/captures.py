"""The C text that reads what is beside a probe's own words. Pure.

Each value has its slot; bytes follow the fixed parts of the record.
"""

from __future__ import annotations

from textwrap import dedent, indent

from tracescope.attach.record.layout import HEADER, Capture, CaptureKind, PlannedProbe

__all__ = ("capture_text", "slot")

_VALUE = """\
    {
%(statements)s        record->raw[%(slot)d] = %(value)s;
        if (%(failed)s)
            record->head.flags |= %(bit)#xU;
    }
"""
_TEXT = """\
    {
%(statements)s        u64 address = %(value)s;
        long length = 0;

        if (%(failed)s)
            length = -14;
        else if (address)
            length = bpf_probe_read_%(space)s_str(&record->text[used], %(size)d, (void *)address);
        record->raw[%(slot)d] = length;
        if (length > 0) {
            FORGET(length);
            if (length <= %(size)d)
                used += length;
        }
    }
"""
_BYTES = """\
    {
%(statements)s        u64 address = %(value)s, length = (u32)(%(length)s);

        record->raw[%(slot)d] = length;
        if (length > %(size)d)
            length = %(size)d;
        if (%(failed)s)
            record->raw[%(slot)d] = -14;
        else if (!address)
            record->raw[%(slot)d] = 0;
        else if (length) {
            if (bpf_probe_read_%(space)s(&record->text[used], length, (void *)address))
                record->raw[%(slot)d] = -14;
            else
                used += length;
        }
    }
"""
_PATH = """\
    {
%(statements)s        u64 path = %(value)s, length;

        record->raw[%(slot)d] = 0;
        if (path && !(%(failed)s))
            read_path(&record->text[used], &record->raw[%(slot)d], path);
        length = record->raw[%(slot)d];
        used += length & %(size)d;
        if (!length && (path || %(failed)s))
            record->raw[%(slot)d] = -14;
    }
"""
_STACK = """\
    {
        long length = bpf_get_stack(ctx, &record->text[used], %(size)d, %(which)s);

        record->raw[%(slot)d] = length;
        if (length > 0 && length <= %(size)d)
            used += length;
    }
"""
_TEMPLATES = {
    CaptureKind.NUMBER: _VALUE,
    CaptureKind.TEXT: _TEXT,
    CaptureKind.BYTES: _BYTES,
    CaptureKind.PATH: _PATH,
    CaptureKind.KERNEL_STACK: _STACK,
    CaptureKind.USER_STACK: _STACK,
}


def capture_text(probe: PlannedProbe, number: int) -> str:
    """Statements that read the capture with this number into `record`, its bytes at `used`."""
    capture: Capture = probe.captures[number]
    code, length = capture.code, capture.length
    statements = indent(dedent(code.statements + (length.statements if length else "")), "        ")
    values = {
        "statements": statements,
        "value": code.value,
        "failed": code.failed,
        "slot": slot(probe, number),
        "bit": 1 << number,
        "size": capture.size,
        "space": "user" if capture.user else "kernel",
        "length": length.value if length else capture.size,
        "which": "BPF_F_USER_STACK" if capture.kind is CaptureKind.USER_STACK else "0",
    }
    return _TEMPLATES[capture.kind] % values


def slot(probe: PlannedProbe, number: int) -> int:
    """The word of `raw` that is the slot of the capture with this number."""
    return (probe.slots_offset - HEADER.size) // 8 + number

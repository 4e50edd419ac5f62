"""Records as numpy sees them: one structured array of a whole batch, nothing copied where all have one size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tracescope.attach.record.layout import HEADER

__all__ = ("Records", "even_records", "uneven_records")

Records: TypeAlias = npt.NDArray[np.void]

_RING_HEADER = 8
_FIELDS: list[Any] = [
    ("time_ns", "u8"), ("cpu", "u4"), ("probe", "u4"), ("pid", "u4"), ("tid", "u4"), ("ppid", "u4"), ("flags", "u4"),
    ("comm", "S16"),
]  # fmt: skip


@lru_cache(maxsize=64)
def _type(size: int) -> np.dtype[np.void]:
    """The header's fields, and `raw`, the 64-bit words behind it; each record behind the ring's own header."""
    names, formats = [name for name, _ in _FIELDS], [format_ for _, format_ in _FIELDS]
    offsets = [_RING_HEADER + np.dtype(_FIELDS[:number]).itemsize for number in range(len(_FIELDS))]
    if words := (size - HEADER.size) // 8:
        names, formats = [*names, "raw"], [*formats, ("u8", (words,))]
        offsets.append(_RING_HEADER + HEADER.size)
    room = (size + _RING_HEADER + 7) & ~7
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": room})


def even_records(data: bytes, size: int) -> Records:
    """Records of `size` bytes each, as they lay in the ring: read only, no copy."""
    return np.frombuffer(data, _type(size))


def uneven_records(records: Sequence[bytes]) -> Records:
    """The headers of records of any size."""
    heads = b"".join(bytes(_RING_HEADER) + record[: HEADER.size] for record in records)
    return np.frombuffer(heads, _type(HEADER.size))

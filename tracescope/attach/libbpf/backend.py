"""The backend that needs neither BCC nor, for a program that was compiled before, a compiler."""

from __future__ import annotations

from collections.abc import Mapping

from tracescope.attach.kernel.loading import BY_NAME, Loaded, load_linked
from tracescope.attach.kernel.programs import ProgramType
from tracescope.attach.libbpf.compile import missing_clang, object_of
from tracescope.attach.libbpf.library import INSTALL, link, missing_library
from tracescope.attach.libbpf.translate import to_libbpf
from tracescope.errors import Refused

__all__ = ("INSTALL", "LibbpfBackend", "missing", "missing_library")


class LibbpfBackend:
    """clang compiles, libbpf links; the text is the one that BCC takes."""

    def load(self, text: str, kinds: Mapping[str, ProgramType] = BY_NAME) -> Loaded:
        """Compile, unless this text was compiled before, link and load. Raises AttachError or Refused."""
        refused = missing_library()
        if refused:
            raise refused
        with link(object_of(to_libbpf(text)), "tracescope") as linked:
            return load_linked(linked.kept_maps(), linked.programs, kinds, lambda: linked.lines)


def missing() -> Refused | None:
    """Why this backend cannot run a new program here, or None when it can. Cheap: nothing is compiled or loaded."""
    return missing_library() or missing_clang()

"""The command palette: everything a key does, by name, and what needs no key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

__all__ = ("Commands",)

Run = Callable[[], Awaitable[Any]]


class Commands(Provider):
    """The actions that work on the current screen."""

    async def discover(self) -> Hits:
        """All of them, in the order of the footer."""
        for name, run in self._actions():
            yield DiscoveryHit(name, run)

    async def search(self, query: str) -> Hits:
        """Those whose words match."""
        matcher = self.matcher(query)
        for name, run in self._actions():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), run)

    def _actions(self) -> Iterator[tuple[str, Run]]:
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if active.enabled and binding.id and binding.action not in seen:
                seen.add(binding.action)
                words = f"{binding.description}: {binding.tooltip}" if binding.tooltip else binding.description
                yield words, partial(self.app.run_action, binding.action, active.node)

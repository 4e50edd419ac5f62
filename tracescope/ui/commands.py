"""The command palette: everything a key does, by name, and what needs no key."""

from __future__ import annotations

from collections.abc import Iterator

from textual.command import DiscoveryHit, Hit, Hits, Provider

__all__ = ("Commands",)


class Commands(Provider):
    """The actions that work on the current screen."""

    async def discover(self) -> Hits:
        """All of them, in the order of the footer."""
        for name, action, words in self._actions():
            yield DiscoveryHit(name, self._run(action), help=words)

    async def search(self, query: str) -> Hits:
        """Those whose name matches."""
        matcher = self.matcher(query)
        for name, action, words in self._actions():
            if (score := matcher.match(name)) > 0:
                yield Hit(score, matcher.highlight(name), self._run(action), help=words)

    def _actions(self) -> Iterator[tuple[str, str, str]]:
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if active.enabled and binding.id and binding.action not in seen:
                seen.add(binding.action)
                yield binding.description, binding.action, binding.tooltip

    def _run(self, action: str):  # type: ignore[no-untyped-def]
        screen = self.screen

        async def run() -> None:
            await screen.run_action(action)

        return run

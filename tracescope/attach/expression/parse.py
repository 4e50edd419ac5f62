"""Expressions as text → syntax tree. Pure; hostile text is refused after a bounded amount of work.

logic        ||   &&
comparison   == != < <= > >= =~          (one; they do not chain)
bits         |   ^   &   << >>           (tighter than comparisons: a & b == c is (a & b) == c, unlike in C)
arithmetic   + -   * / %
before       ! - + ~
"""

from __future__ import annotations

from typing import NoReturn

from tracescope.attach.expression.mistake import ExpressionError
from tracescope.attach.expression.syntax import (
    Binary,
    Expression,
    Index,
    Logic,
    Member,
    Name,
    Node,
    Number,
    String,
    Unary,
    children,
)
from tracescope.attach.expression.tokens import Token, tokens

__all__ = ("COMPARISONS", "DEEPEST", "MOST", "parse", "parse_list")

DEEPEST = 64
"""Levels of an expression's tree."""
MOST = 8
"""Expressions in a list."""

COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "=~")
_LEVELS = (("||",), ("&&",), COMPARISONS, ("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))
_STRENGTH = {sign: strength for strength, signs in enumerate(_LEVELS) for sign in signs}
# One level of parentheses takes at most 12 Python frames.
_NESTED = 32
_MEANT = {"and": "&&", "or": "||", "not": "!"}


def parse(text: str) -> Expression:
    """One expression; raises ExpressionError."""
    reader = _Reader(text)
    found = reader.expression()
    reader.end("an operator")
    return found


def parse_list(text: str) -> tuple[Expression, ...]:
    """Expressions with commas between them, up to `MOST`; raises ExpressionError."""
    reader = _Reader(text)
    found = [reader.expression()]
    while reader.takes(","):
        if len(found) == MOST:
            reader.refuse(f"there are more than {MOST} expressions")
        found.append(reader.expression())
    reader.end("an operator or `,`")
    return tuple(found)


class _Reader:
    """Recursive descent, bounded in depth."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._index = 0
        self._nested = 0

    @property
    def _next(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._next
        self._index += token.kind != "end"
        return token

    def takes(self, sign: str) -> bool:
        """True when this sign comes next; it is taken."""
        found = self._next.kind == "sign" and self._next.text == sign
        self._index += found
        return found

    def refuse(self, why: str, fix: str = "") -> NoReturn:
        """Refuse what comes next."""
        raise ExpressionError(self._text, self._next.at, why, fix)

    def end(self, expected: str) -> None:
        """Refuse anything that is left."""
        token = self._next
        if token.kind == "end":
            return
        if token.text == "=":
            self.refuse("`=` is no comparison", "write ==")
        if token.text in _MEANT:
            self.refuse(f"`{token.text}` is no operator", f"write {_MEANT[token.text]}")
        self.refuse(f"{expected} was expected here")

    def expression(self) -> Expression:
        """The longest expression from here on."""
        start = self._next.at
        root = self._binary(0)
        self._check_depth(root)
        return Expression(self._text, root, start, self._next.at)

    def _check_depth(self, root: Node) -> None:
        """Left-hand sides nest without recursion here: what walks the tree later recurses."""
        waiting = [(root, 1)]
        while waiting:
            node, depth = waiting.pop()
            if depth > DEEPEST:
                raise ExpressionError(self._text, node.at, f"this is nested more than {DEEPEST} levels deep")
            waiting.extend((child, depth + 1) for child in children(node))

    def _binary(self, weakest: int) -> Node:
        left = self._unary()
        while (strength := self._strength()) >= weakest:
            token = self._take()
            right = self._binary(strength + 1)
            if token.text in ("&&", "||"):
                left = Logic(token.at, token.text, self._parts(token.text, [left, right], strength))
                continue
            left = Binary(token.at, token.text, left, right)
            if token.text in COMPARISONS and self._strength() == strength:
                self.refuse("comparisons do not chain", "write a < b && b < c, or use parentheses")
        return left

    def _parts(self, sign: str, parts: list[Node], strength: int) -> tuple[Node, ...]:
        """All parts of `a && b && c …`: a flat row, however long."""
        while self.takes(sign):
            parts.append(self._binary(strength + 1))
        return tuple(parts)

    def _strength(self) -> int:
        token = self._next
        return _STRENGTH.get(token.text, -1) if token.kind == "sign" else -1

    def _unary(self) -> Node:
        signs = []
        while self._next.kind == "sign" and self._next.text in ("!", "-", "+", "~"):
            signs.append(self._take())
        node = self._postfix(self._primary())
        for token in reversed(signs):
            node = Unary(token.at, token.text, node)
        return node

    def _primary(self) -> Node:
        token = self._next
        if token.text in _MEANT and token.kind == "word":
            self.refuse(f"`{token.text}` is no operator", f"write {_MEANT[token.text]}")
        if token.kind == "sign" and token.text == "(":
            return self._parenthesis()
        if token.kind in ("end", "sign"):
            self.refuse("a value was expected here: args.NAME, a builtin such as pid or comm, a number or a text")
        self._take()
        if isinstance(token.value, bytes):
            return String(token.at, token.value)
        return Number(token.at, token.value) if token.kind == "number" else Name(token.at, token.text)

    def _parenthesis(self) -> Node:
        if self._nested == _NESTED:
            self.refuse(f"more than {_NESTED} parentheses are open")
        opened = self._take()
        self._nested += 1
        node = self._binary(0)
        self._nested -= 1
        if not self.takes(")"):
            if self._next.kind == "end":
                raise ExpressionError(self._text, opened.at, "this parenthesis is never closed", "write ) at its end")
            self.refuse("an operator or `)` was expected here")
        return node

    def _postfix(self, node: Node) -> Node:
        while self._next.kind == "sign" and self._next.text in (".", "->", "["):
            token = self._take()
            if token.text == "[":
                node = Index(token.at, node, self._index_number())
                continue
            if self._next.kind != "word":
                self.refuse(f"a name was expected behind `{token.text}`")
            name = self._take()
            node = Member(name.at, node, name.text)
        return node

    def _index_number(self) -> int:
        if self._next.kind != "number":
            self.refuse("an index is a number, such as [0]")
        value = self._take().value
        if not self.takes("]"):
            self.refuse("`]` was expected here")
        return int(value)

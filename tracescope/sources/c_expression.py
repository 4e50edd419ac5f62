"""Expressions in C as a `print fmt:` has them: `( gfp_t)((((1UL))) << (6))`, `-9ULL`, `'a'`, `REC->len ? "y" : "n"`.

Source: C11 6.5 and 6.6, and GCC's `({ int x = …; x; })`, which the kernel's min() leaves behind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tracescope.sources.c_tree import (
    Address,
    Braces,
    Call,
    Choice,
    Deref,
    Field,
    Index,
    Literal,
    Name,
    Node,
    binary,
    cast,
    choice,
    unary,
)
from tracescope.sources.c_types import CHAR, ULONG, CType, Number, number, type_of

__all__ = ("evaluate", "parse", "unescape")

_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{1,2})|([0-7]{1,3})|(.))", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "e": "\x1b"}


def unescape(text: str) -> str:
    """The inside of a C string or character literal, its escapes resolved."""
    return _ESCAPE.sub(_character, text)


def _character(match: re.Match[str]) -> str:
    hexadecimal, octal, other = match.groups()
    if hexadecimal:
        return chr(int(hexadecimal, 16))
    return chr(int(octal, 8) & 0xFF) if octal else _ESCAPED.get(other, other)


def evaluate(expression: str, names: Mapping[str, int] | None = None) -> int | None:
    """The expression's value, `names` such as `REC->flags` given; None when it has an unknown name or no value."""
    node = parse(expression, (names or {}).get)
    while isinstance(node, Choice) and isinstance(node.test, Number):
        # The value is known though the type is not.
        node = node.yes if node.test.value else node.no
    return node.value if isinstance(node, Number) else None


def parse(expression: str, known: Callable[[str], int | None] = lambda _: None) -> Node | None:
    """The expression as a tree, constants folded; `known` gives the value of a name. None for what is no expression."""
    try:
        return _Reader(expression, known).whole()
    except _Unreadable:
        return None


class _Unreadable(Exception):
    """The text is no expression that this module reads."""


_LEVELS = ("||", "&&", "|", "^", "&", "== !=", "< > <= >=", "<< >>", "+ -", "* / %")
_STRENGTH = {sign: strength for strength, signs in enumerate(_LEVELS) for sign in signs.split()}
_TOKEN = re.compile(
    r"""\s*(?:(?P<number>0[xX][0-9a-fA-F]{1,16}|[0-9]{1,22})(?P<suffix>[uUlL]{0,3})\b
      | '(?P<char>[^'\\]|\\.[0-9a-fA-F]{0,2})'
      | "(?P<string>(?:[^"\\]|\\.)*)"
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign><<|>>|[<>=!]=|&&|\|\||->|[-+*/%&|^~!<>?:(){}\[\],;=]))""",
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_TYPEOF = frozenset({"typeof", "__typeof__", "typeof_unqual", "__typeof_unqual__"})
_PREFIXES: dict[str, Callable[[Node], Node]] = {"*": Deref, "&": Address}
_BOOLS = frozenset({"bool", "_Bool"})
_CONSTANTS = {"NULL": Number(0, ULONG), "true": Number(1), "false": Number(0)}

# The deepest print fmt of a kernel has 15 levels; one level here takes at most 13 Python frames.
_DEPTH = 40


class _Reader:
    """A recursive-descent reading of one expression, bounded in depth."""

    def __init__(self, text: str, known: Callable[[str], int | None]) -> None:
        self._known = known
        self._variables: dict[str, Node] = {}
        self._tokens: list[re.Match[str]] = []
        self._at = 0
        self._depth = 0
        text, end = text.rstrip(), 0
        while end < len(text):
            token = _TOKEN.match(text, end)
            if token is None:
                raise _Unreadable
            self._tokens.append(token)
            end = token.end()

    def whole(self) -> Node:
        result = self._ternary()
        if self._at < len(self._tokens):
            raise _Unreadable
        return result

    def _sign(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at]["sign"] or "" if at < len(self._tokens) else ""

    def _take(self, sign: str) -> None:
        if self._sign() != sign:
            raise _Unreadable
        self._at += 1

    def _found(self, sign: str) -> bool:
        """Step over a sign if it is here."""
        found = self._sign() == sign
        self._at += found
        return found

    def _next(self) -> re.Match[str]:
        if self._at == len(self._tokens):
            raise _Unreadable
        self._at += 1
        return self._tokens[self._at - 1]

    def _deeper(self, part: Callable[[], Node]) -> Node:
        self._depth += 1
        if self._depth > _DEPTH:
            raise _Unreadable
        result = part()
        self._depth -= 1
        return result

    def _ternary(self) -> Node:
        test = self._binary(0)
        if not self._found("?"):
            return test
        # GCC's `a ?: b`.
        yes = test if self._sign() == ":" else self._deeper(self._ternary)
        self._take(":")
        return choice(test, yes, self._deeper(self._ternary))

    def _binary(self, weakest: int) -> Node:
        left = self._unary()
        while (strength := _STRENGTH.get(sign := self._sign(), -1)) >= weakest:
            self._at += 1
            left = binary(sign, left, self._binary(strength + 1))
        return left

    def _unary(self) -> Node:
        signs = []
        while (sign := self._sign()) and sign in "+-~!*&":
            signs.append(sign)
            self._at += 1
        result = self._postfix(self._operand())
        for sign in reversed(signs):
            result = _PREFIXES[sign](result) if sign in _PREFIXES else unary(sign, result)
        return result

    def _postfix(self, operand: Node) -> Node:
        while True:
            if self._found("["):
                operand = Index(operand, self._deeper(self._ternary))
                self._take("]")
            elif operand == Name("REC") and self._found("->"):
                operand = self._field(self._next()["name"] or "")
            else:
                return operand

    def _field(self, name: str) -> Node:
        if not name:
            raise _Unreadable
        value = self._known(f"REC->{name}")
        return Field(name) if value is None else _constant(value)

    def _operand(self) -> Node:
        if self._sign() == "(":
            return self._parenthesis()
        if self._found("{"):
            return Braces(self._items("}"))
        token = self._next()
        if token["number"]:
            literal = number(token["number"], token["suffix"].lower())
            if literal is None:
                raise _Unreadable
            return literal
        if token["char"]:
            return Number(CHAR.wrap(ord(unescape(token["char"])[0])), CHAR)
        if token["string"] is not None:
            return self._string(token["string"])
        if token["name"]:
            return self._named(token["name"])
        raise _Unreadable

    def _string(self, first: str) -> Literal:
        parts = [unescape(first)]
        while self._at < len(self._tokens) and (more := self._tokens[self._at]["string"]) is not None:
            parts.append(unescape(more))
            self._at += 1
        return Literal("".join(parts))

    def _named(self, name: str) -> Node:
        if name == "sizeof" and (words := self._words()) and (kind := type_of(words)):
            self._at += len(words) + 2
            return Number(kind.bits // 8, ULONG)
        if self._found("("):
            return Call(name, self._items(")"))
        if name in self._variables:
            return self._variables[name]
        value = self._known(name)
        return _CONSTANTS.get(name, Name(name)) if value is None else _constant(value)

    def _items(self, end: str) -> tuple[Node, ...]:
        """What stands between commas up to a closing sign; a comma before it adds nothing."""
        items: list[Node] = []
        while not self._found(end):
            items.append(self._deeper(self._ternary))
            if not self._found(","):
                self._take(end)
                break
        return tuple(items)

    def _parenthesis(self) -> Node:
        if self._sign(1) == "{":
            self._at += 2
            return self._deeper(self._block)
        words = self._words()
        after = self._tokens[self._at + len(words) + 2 :][:1]
        if words and after and (type_of(words) or not after[0]["sign"] or after[0]["sign"] in ("(", "~", "!")):
            self._at += len(words) + 2
            return _cast(words, self._deeper(self._unary))
        self._take("(")
        result = self._deeper(self._ternary)
        self._take(")")
        return result

    def _block(self) -> Node:
        """`({ int x = 1; …; x; })` from behind its brace: the last expression's value."""
        outer, result = dict(self._variables), None
        while not self._found("}"):
            words = self._declared()
            value = self._deeper(self._ternary)
            if words:
                self._variables[words[-1]] = _cast(words[:-1], value)
            result = value
            self._take(";")
        self._take(")")
        self._variables = outer
        if result is None:
            raise _Unreadable
        return result

    def _declared(self) -> list[str]:
        """The words of `unsigned int x =` at this place, stepped over; nothing when this is no declaration."""
        start, words = self._at, list[str]()
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            if not token["name"] and token["sign"] != "*":
                break
            words.append(token["name"] or "*")
            self._at += 1
            if words[-1] in _TYPEOF and self._found("("):
                self._items(")")
        if len(words) > 1 and self._found("="):
            return words
        self._at = start
        return []

    def _words(self) -> list[str]:
        """The words and stars of a type in parentheses at this place, or nothing."""
        words: list[str] = []
        for token in self._tokens[self._at + 1 :]:
            if token["sign"] == ")":
                return words if not self._variables.keys() & words else []
            word = token["name"] or token["sign"]
            if not word or (word != "*" and not token["name"]):
                return []
            words.append(word)
        return []


def _constant(value: int) -> Number:
    """A value that a name stands for, as C types it: int where it fits."""
    for kind in (CType(32, True), CType(64, True)):
        if kind.wrap(value) == value:
            return Number(value, kind)
    return Number(ULONG.wrap(value), ULONG)


def _cast(words: list[str], operand: Node) -> Node:
    if "*" in words:
        target = type_of([word for word in words if word != "*"]) if words.count("*") == 1 else ULONG
        return cast(ULONG, operand, pointer=True, target=target)
    if _BOOLS.intersection(words):
        return unary("!", unary("!", operand))
    return cast(type_of(words), operand)

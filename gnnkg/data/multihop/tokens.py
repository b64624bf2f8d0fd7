"""The words of a written query: names, variables, arrows and signs, each with its place in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["name", "variable", "forward", "backward", "colon", "and", "or", "end"]

TOLD: dict[Kind, str] = {
    "name": "an entity",
    "variable": "a variable such as ?x",
    "forward": "an arrow such as -relation->",
    "backward": "an arrow such as <-relation-",
    "colon": "a colon",
    "and": "a comma or 'and'",
    "or": "'or'",
    "end": "the end",
}
"""each kind in words"""


class QuerySyntax(ValueError):
    """A text that is no query; ``position`` is where, from 1."""

    def __init__(self, text: str, start: int, expected: str, found: str) -> None:
        super().__init__(f"expected {expected} at position {start + 1}, found {found}\n  {text}\n  {' ' * start}^")
        self.position = start + 1


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the text."""

    kind: Kind
    text: str
    """the name, of the relation in an arrow; without quotes"""
    start: int
    """its place in the text, from 0"""

    def __str__(self) -> str:
        shown = {
            "forward": f"-{self.text}->",
            "backward": f"<-{self.text}-",
            "variable": f"?{self.text}",
            "end": "the end",
        }
        return shown.get(self.kind, repr(self.text))


# A quoted name may hold a quote behind a backslash. A bare name has no spaces; a comma ends it where a space or the end follows.
_QUOTED = r'"(?:[^"\\]|\\.)*"|' + r"'(?:[^'\\]|\\.)*'"
_BARE_RELATION = r"""[^\s"'<>]+?"""
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("forward", re.compile(rf"-\s*({_QUOTED}|{_BARE_RELATION})\s*->(?=\s|$)")),
    ("backward", re.compile(rf"<-\s*({_QUOTED}|{_BARE_RELATION})\s*-(?=\s|$)")),
    ("variable", re.compile(r"\?(\w+)")),
    ("colon", re.compile(r"(:)(?=\s|$)")),
    ("and", re.compile(r"(,|and\b(?!\S))", re.IGNORECASE)),
    ("or", re.compile(r"(or\b(?!\S))", re.IGNORECASE)),
    ("name", re.compile(rf"({_QUOTED}|[^\s\"'?<>,-](?:[^\s,]|,(?=\S))*)")),
)


def tokens(text: str) -> list[Token]:
    """The words of a text, with one of kind ``end`` behind them. Raises QuerySyntax where something is no word."""
    found: list[Token] = []
    place = 0
    while True:
        while place < len(text) and text[place].isspace():
            place += 1
        if place == len(text):
            return [*found, Token("end", "", place)]
        for kind, pattern in _PATTERNS:
            match = pattern.match(text, place)
            if match:
                found.append(Token(kind, _unquoted(match[1]), place))
                place = match.end()
                break
        else:
            expected = (
                "an arrow such as -relation-> or <-relation-, with spaces around it"
                if text[place] in "-<>"
                else "a name"
            )
            hint = "; names with spaces, quotes or arrows stand in quotes, with one at each end"
            raise QuerySyntax(text, place, expected, repr(text[place : place + 12]) + hint)


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]) if word[:1] in ("'", '"') else word

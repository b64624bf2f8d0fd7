"""A multi-hop query as text.

    ?x: Switzerland -borders-> ?y -official_language-> ?x

Before the colon stands the variable that is asked for, behind it what must hold of it:

    a chain           A -r-> ?y -s-> ?x     ?x <-s- ?y <-r- A says the same
    an intersection   A -r-> ?x, B -s-> ?x      clauses that share a variable; a comma or ``and`` between them
    a union           A -r-> ?x or B -s-> ?x    ``or`` between alternatives; it binds less than the comma

Entities and relations are labels or identifiers. Those with spaces, quotes or arrows stand in quotes, -"uses currency"->; so
does an entity that begins with a hyphen or is called "and" or "or". Arrows have spaces around them.

Each alternative must be a tree with the variable that is asked for at its root and known entities at its leaves. Not supported are
cycles (a variable that two ways lead to, or two arrows between the same two), a variable that no known entity leads to, and clauses
that are not connected with what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gnnkg.data.dataset import Dataset
from gnnkg.data.multihop.query import Anchor, Hop, Intersection, Query, Union
from gnnkg.data.multihop.tokens import TOLD, Kind, QuerySyntax, Token, tokens


@dataclass(frozen=True, slots=True)
class Written:
    """A query that was read from a text; its nodes bear the names of the variables that they stand for."""

    query: Query
    target: str
    """the variable that is asked for, without its question mark"""
    text: str


@dataclass(frozen=True, slots=True)
class _Clause:
    """``head -relation-> tail``"""

    head: Token
    relation: Token
    tail: Token

    def __str__(self) -> str:
        return f"{self.head} -{self.relation.text}-> {self.tail}"


def parse_query(text: str, dataset: Dataset) -> Written:
    """The query that a text asks about a data set.

    Raises QuerySyntax, which shows the place, for a text that does not have the form above; ValueError for one that has, and is not
    supported; UnknownName and AmbiguousName, with the names that there are, for an entity or a relation.
    """
    target, groups = _Reader(text).query()
    parts = tuple(_Tree(text, dataset, target, clauses).query() for clauses in groups)
    return Written(parts[0] if len(parts) == 1 else Union(parts, target.text), target.text, text)


class _Reader:
    """Tokens to clauses."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokens(text)
        self.place = 0

    def take(self, *kinds: Kind, expected: str | None = None) -> Token:
        token = self.tokens[self.place]
        if token.kind not in kinds:
            told = " or ".join(TOLD[kind] for kind in kinds)
            raise QuerySyntax(self.text, token.start, expected or told, str(token))
        self.place += 1
        return token

    def query(self) -> tuple[Token, list[list[_Clause]]]:
        target = self.take("variable", expected="the variable that is asked for, such as ?x,")
        self.take("colon", expected=f"a colon behind ?{target.text}")
        groups: list[list[_Clause]] = [[]]
        while True:
            groups[-1] += self.chain()
            sign = self.take("and", "or", "end", expected="a comma, 'and', 'or', an arrow or the end")
            if sign.kind == "end":
                return target, groups
            if sign.kind == "or":
                groups.append([])

    def chain(self) -> list[_Clause]:
        """``A -r-> ?y <-s- ?x``: a clause an arrow."""
        left, clauses = self.take("name", "variable"), []
        while not clauses or self.tokens[self.place].kind in ("forward", "backward"):
            arrow = self.take("forward", "backward", expected="an arrow such as -relation-> or <-relation-")
            right = self.take("name", "variable")
            clauses.append(_Clause(left, arrow, right) if arrow.kind == "forward" else _Clause(right, arrow, left))
            left = right
        return clauses


class _Tree:
    """The clauses of one alternative to a tree."""

    def __init__(self, text: str, dataset: Dataset, target: Token, clauses: list[_Clause]) -> None:
        self.text = text
        self.dataset = dataset
        self.target = target
        self.left = list(clauses)
        self._no_cycles(clauses)

    def _no_cycles(self, clauses: list[_Clause]) -> None:
        group: dict[str, set[str]] = {}  # the variables that are connected so far
        for clause in clauses:
            if clause.head.kind != "variable" or clause.tail.kind != "variable":
                continue
            one, other = (group.setdefault(each.text, {each.text}) for each in (clause.head, clause.tail))
            if one is other:
                raise ValueError(
                    f"{clause} closes a cycle; only trees are supported, in which one way leads from each variable to "
                    f"?{self.target.text}"
                )
            one |= other
            group.update(dict.fromkeys(other, one))

    def query(self) -> Query:
        query = self.of(self.target)
        if self.left:
            raise ValueError(
                f"{self.left[0]} is not connected with ?{self.target.text}, which is asked for; leave it out"
            )
        return query

    def of(self, node: Token) -> Query:
        """What a variable or an entity stands for, by the clauses that nobody has taken yet."""
        if node.kind == "name":
            return Anchor(self.named(self.dataset.entity_id, node))
        mine = [clause for clause in self.left if _is(clause.head, node) or _is(clause.tail, node)]
        self.left = [clause for clause in self.left if clause not in mine]
        if not mine:
            raise ValueError(
                f"no known entity leads to ?{node.text}; queries whose leaves are variables are not supported"
            )
        hops = tuple(self.hop(clause, node) for clause in mine)
        return hops[0] if len(hops) == 1 else Intersection(hops, node.text)

    def hop(self, clause: _Clause, node: Token) -> Hop:
        relation = self.named(self.dataset.relation_id, clause.relation)
        if _is(clause.tail, node):
            return Hop(self.of(clause.head), relation, node.text)
        return Hop(self.of(clause.tail), relation + self.dataset.graph.num_relations, node.text)

    def named(self, find: Callable[[str], int], token: Token) -> int:
        try:
            return find(token.text)
        except LookupError as error:
            error.args = (f"{error.args[0]} (position {token.start + 1} of the query)",)
            raise


def _is(one: Token, other: Token) -> bool:
    return one.kind == other.kind == "variable" and one.text == other.text

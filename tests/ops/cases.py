"""Inputs that hurt, for the tests of every backend of the matching and ranking ops."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.ops import matching, ranking
from gnnkg.ops.matching import Drawn, Mix, OwnFirst, reference

OPS = ("dot", "l1", "squared", "modulus", "sine")
DISTANCES = OPS[1:]
FORMS = ("both", "block", "low", "high")
LAYOUTS = ("none", "query", "candidate", *FORMS)
"""which pairs share a mask; in the forms of ``Drawn`` none do"""


class Shape(NamedTuple):
    tables: int
    queries: int
    candidates: int
    units: int


SHAPES = (
    Shape(1, 5, 7, 6),
    Shape(2, 6, 4, 3),
    Shape(6, 6, 3, 5),  # a table a query
    Shape(1, 1, 1, 1),
    Shape(4, 4, 1, 2),  # one candidate each, as a query's own tail
    Shape(1, 19, 33, 1),
    Shape(2, 34, 16, 17),
    Shape(3, 24, 1, 9),
    Shape(1, 17, 530, 5),  # several blocks of candidates, the last one narrow
    Shape(2, 18, 270, 3),
)


class Inputs(NamedTuple):
    query: Tensor
    tail: Tensor
    mix: Mix | None
    scale: Tensor | None
    gradient: Tensor

    def leaves(self) -> list[Tensor]:
        """What has a gradient."""
        own = [] if self.mix is None else [self.mix.own]
        return [self.query, self.tail, *own, *([] if self.scale is None else [self.scale])]

    def to(self, dtype: torch.dtype) -> Inputs:
        """Copies as leaves."""

        def copy(tensor: Tensor) -> Tensor:
            return tensor.detach().to(dtype).requires_grad_()

        mix = self.mix
        if mix is not None:
            mix = Mix(copy(mix.own), mix.keep if isinstance(mix.keep, Drawn) else mix.keep.to(dtype))
        scale = None if self.scale is None else copy(self.scale)
        return Inputs(copy(self.query), copy(self.tail), mix, scale, self.gradient.to(dtype))

    def call(self, functions: object, op: str) -> Tensor:
        arguments = (self.query, self.tail, self.mix) + ((self.scale,) if op == "squared" else ())
        return getattr(functions, op)(*arguments)


def inputs(op: str, shape: Shape, layout: str = "none", scaled: bool = True) -> Inputs:
    tables, queries, candidates, units = shape
    width = 2 * units if op == "modulus" else units
    spread = 8 if op == "sine" else 1  # more than a turn
    mix = None
    if layout in FORMS:
        mix = Mix(torch.randn(queries, width) * spread, Drawn(0.4, int(torch.randint(2**62, ())), layout))
    elif layout != "none":
        rows = {"query": (queries,), "group": (-(-queries // 25),), "candidate": (tables, candidates)}[layout]
        keep = torch.randint(2, (*rows, units)).float()
        mix = Mix(torch.randn(queries, width) * spread, torch.cat([keep, keep], -1) if op == "modulus" else keep)
    scale = torch.randn(queries, width) if op == "squared" and scaled else None
    query, tail = torch.randn(queries, width) * spread, torch.randn(tables, candidates, width) * spread
    return Inputs(query, tail, mix, scale, torch.randn(queries, candidates))


def gradients(out: Tensor, given: Inputs) -> tuple[Tensor, ...]:
    return torch.autograd.grad(out, given.leaves(), given.gradient.to(out))


def check_matching(op: str, given: Inputs) -> None:
    """Values and gradients of the backend that serves float32 equal the definition's in double precision."""
    fast, exact = given.to(torch.float32), given.to(torch.float64)
    out, expected = fast.call(matching, op), exact.call(reference, op)
    assert out.dtype == torch.float32
    tolerance = {"rtol": 1e-5, "atol": 1e-5 * math.sqrt(given.query.shape[1]), "check_dtype": False}
    assert_close(out, expected, **tolerance)
    tolerance["atol"] *= math.sqrt(max(given.gradient.shape))
    for ours, theirs in zip(gradients(out, fast), gradients(expected, exact), strict=True):
        assert_close(ours, theirs, **tolerance)


def check_both(op: str, given: Inputs) -> None:
    """``both`` equals the definition's in double precision, and a gradient that flows through one of the two does too."""
    fast, exact = given.to(torch.float32), given.to(torch.float64)

    def called(functions: object, by: Inputs) -> tuple[Tensor, Tensor]:
        assert by.mix is not None
        return functions.both(op, by.query, by.tail, by.mix, by.scale)  # type: ignore[attr-defined]

    outs, expected = called(matching, fast), called(reference, exact)
    tolerance = {"rtol": 1e-5, "atol": 1e-5 * math.sqrt(max(given.query.shape[1], 1)), "check_dtype": False}
    assert_close(outs, expected, **tolerance)
    tolerance["atol"] *= math.sqrt(max(given.gradient.shape))
    other = torch.randn_like(given.gradient)
    for weights in ((given.gradient, other), (given.gradient, None), (None, other)):
        ours, theirs = (
            torch.autograd.grad(
                [out for out, weight in zip(found, weights, strict=True) if weight is not None],
                by.leaves(),
                [weight.to(by.query) for weight in weights if weight is not None],
                retain_graph=True,
                materialize_grads=True,
            )
            for by, found in ((fast, outs), (exact, expected))
        )
        assert_close(ours, theirs, **tolerance)


def check_own_first(op: str, given: Inputs, margin: float | None) -> None:
    """With own tails first, and from a margin: one sum and both, and their gradients, are the definition's in double precision."""
    own, fast, exact = torch.randn_like(given.query), given.to(torch.float32), given.to(torch.float64)
    ours, theirs = own.clone().requires_grad_(), own.double().requires_grad_()
    more = {} if margin is None else {"margin": margin}

    def called(functions: object, by: Inputs, leaf: Tensor) -> list[Tensor]:
        named = more | ({"scale": by.scale} if op == "squared" else {})
        tail = OwnFirst(leaf, by.tail)
        found = [getattr(functions, op)(by.query, tail, by.mix, **named)]
        return found if by.mix is None else [*found, *functions.both(op, by.query, tail, by.mix, **named)]  # type: ignore[attr-defined]

    found, expected = called(matching, fast, ours), called(reference, exact, theirs)
    if margin is None:  # what the definition says itself
        first = getattr(reference, op)(
            exact.query, theirs.unsqueeze(1), None, *([exact.scale] if op == "squared" else [])
        )
        assert_close(expected[0], torch.cat([first, exact.call(reference, op)], 1))
    tolerance = {"rtol": 1e-5, "atol": 1e-5 * math.sqrt(max(given.query.shape[1], 1)), "check_dtype": False}
    assert_close(found, expected, **tolerance)
    tolerance["atol"] *= math.sqrt(max(given.gradient.shape))
    weights = [torch.randn(each.shape) for each in found]
    for chosen in (slice(0, 1), slice(1, 3)):
        if found[chosen]:
            by_ours, by_theirs = (
                torch.autograd.grad(
                    outs[chosen], [*by.leaves(), leaf], [w.to(by.query) for w in weights[chosen]], retain_graph=True
                )
                for outs, by, leaf in ((found, fast, ours), (expected, exact, theirs))
            )
            assert_close(by_ours, by_theirs, **tolerance)


def counted_by_hand(
    scores: list[list[float]], truth: list[int], known: list[list[int]], row: list[int]
) -> list[tuple[int, int, int]]:
    """(above, equal, candidates) of each truth, candidate by candidate."""
    counts = []
    for answer, left_out, line in zip(truth, known, row, strict=True):
        own = scores[line][answer]
        rivals = [s for n, s in enumerate(scores[line]) if n != answer and n not in left_out]
        above = sum(s > own or math.isnan(s) or math.isnan(own) for s in rivals)
        counts.append((above, sum(s == own for s in rivals), len(rivals) + 1))
    return counts


def check_ranking(
    scores: list[list[float]], truth: list[int], known: list[list[int]], row: list[int] | None = None
) -> None:
    ragged = [sorted(set(tails)) for tails in known]
    starts = torch.tensor([0, *(len(tails) for tails in ragged)]).cumsum(0)
    tails = torch.tensor([tail for tails in ragged for tail in tails], dtype=torch.int64)
    places = None if row is None else torch.tensor(row, dtype=torch.int64)
    counts = ranking.rank_counts(torch.tensor(scores), torch.tensor(truth), (starts, tails), places)
    expected = counted_by_hand(scores, truth, known, list(range(len(truth))) if row is None else row)
    assert list(zip(*(count.tolist() for count in counts), strict=True)) == expected

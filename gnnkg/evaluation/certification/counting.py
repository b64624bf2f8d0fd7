"""The same counts as ``reference.py``, in a fraction of the time.

All draws of a query meet their rivals as one matrix product, the strongest rivals first; a draw that has lost is settled and meets
no others, and where too few draws are left to certify anything the query is given up, which can only shrink its radius. What is
known of the scorer's ``curvature`` saves most of the rest:

    affine     rivals whose chances of winning add up to at most a budget are left out (``pruning.chances``); the budget is
               subtracted from the lower bound of every such query, whether rivals were left out or not
    concave    a rival's tangent is an upper bound of its score under every draw, as a matrix product; exact scores are
               computed where the tangent reaches the truth's score

Scores are float32. Where a rival is as near to the truth as float32 may have erred, float64 decides. How much it errs is measured
for every rival, on some of the query's own draws, and taken 16 times.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gnnkg.core import Scorer
from gnnkg.evaluation.certification.pruning import chances, pruned, responses, tangents
from gnnkg.evaluation.certification.question import TIE, Question, beats

FIRST, SECOND, BLOCK = 64, 448, 2048
"""how many rivals are met at once"""
SAFETY = 16
PROBES = 4
"""draws on which float32 is compared with float64"""
PAIRS = 2**14
"""comparisons that float64 decides at once"""


class Counted(NamedTuple):
    """What came of the draws of a query."""

    successes: int
    """where ``stopped``, only an upper bound of them"""
    stopped: bool
    """too few successes were left to certify anything"""
    left_out: int
    """rivals that were pruned"""
    close: int
    """comparisons that float64 had to decide"""


@dataclass
class Counter:
    """Counts the draws under which the event of a ``Question`` happens.

    ``enough``: where fewer successes than this remain possible, counting stops; 0: never. ``budget``: the probability that
    pruned rivals may have together, for affine scorers; 0: none is pruned.
    """

    scorer: Scorer
    deviation: float
    """of each component of the noise"""
    top: int = 1
    enough: int = 0
    budget: float = 0.0
    precise: Scorer = field(init=False)

    def __post_init__(self) -> None:
        self.precise = copy.deepcopy(self.scorer).double()

    @torch.no_grad()
    def __call__(self, question: Question, noise: Float[Tensor, "n D"]) -> Counted:
        """``question.rivals`` should stand in the order of their clean scores, the strongest first."""
        draws = _Draws(self, question, noise)
        rivals, left_out = question.rivals, 0
        done = FIRST + SECOND
        stopped = draws.meet(rivals[:FIRST]) or draws.meet(rivals[FIRST:done])
        rest = rivals[done:]
        if not stopped and self.budget and self.scorer.curvature == "affine" and len(rest):
            kept = rest[pruned(chances(self.precise, question, draws.responses, rest), self.budget)]
            rest, left_out = kept, len(rest) - len(kept)
        for block in rest.split(BLOCK):
            stopped = stopped or draws.meet(block, self.scorer.curvature == "concave")
        return Counted(len(draws.alive), stopped, left_out, draws.close)


class _Draws:
    """The draws of a query, and which of them have not lost yet."""

    def __init__(self, counter: Counter, question: Question, noise: Float[Tensor, "n D"]) -> None:
        self.counter, self.question, self.noise = counter, question, noise
        scorer, truth = counter.scorer, question.table[question.truth].unsqueeze(0)
        if scorer.curvature is None:
            self.queries = question.queries(scorer, noise)
        else:  # affine in the noise, and then D queries say what all of them are: TuckER's and RESCAL's are dear
            self.responses = responses(counter.precise, question, counter.deviation)
            clean, changes = self.responses[:1], self.responses[1:] - self.responses[:1]
            self.queries = torch.addmm(clean.to(noise), noise / counter.deviation, changes.to(noise))
        self.probes = torch.arange(0, len(noise), max(1, len(noise) // PROBES), device=noise.device)
        self.exact_queries = self._exact_queries(self.probes)
        self.own = question.match(scorer, self.queries, truth)[:, 0]
        self.alive = torch.arange(len(noise), device=noise.device)
        self.ahead = torch.zeros_like(self.alive)
        self.close = 0
        self.own_error = self._score_error(self.own[self.probes].unsqueeze(1), truth)

    def _exact_queries(self, rows: Int[Tensor, " X"]) -> Float[Tensor, "X Q"]:
        """In float64."""
        heads = self.question.head.double() + self.noise[rows].double()
        return self.counter.precise.query(heads, self.question.relation.double().expand(len(rows), -1))

    def _score_error(self, scores: Float[Tensor, "P K"], tails: Float[Tensor, "K D"]) -> Float[Tensor, " K"]:
        """How far the scores of each candidate may be from the true ones, by those of the probes."""
        return _error(scores, self.counter.precise.match(self.exact_queries, tails.double().unsqueeze(0)))

    def meet(self, rivals: Int[Tensor, " K"], by_tangent: bool = False) -> bool:
        """Compares the remaining draws with these rivals; whether too few remain."""
        enough, top = self.counter.enough, self.counter.top
        if len(self.alive) >= max(enough, 1) and len(rivals):
            self._meet(self.alive, rivals, by_tangent)
            self.alive = self.alive[self.ahead[self.alive] < top]
        return len(self.alive) < enough

    def _meet(self, rows: Int[Tensor, " X"], rivals: Int[Tensor, " K"], by_tangent: bool) -> None:
        scorer, question = self.counter.scorer, self.question
        tails = question.table[rivals]
        own = self.own[rows].unsqueeze(1)
        if by_tangent:
            highest, slack = self._highest(rows, tails)
            near = ~(highest.amax(1) < own[:, 0] - slack.amax())
            columns = (~(highest[near] < own[near] - slack)).any(0)
            if columns.any():
                self._meet(rows[near], rivals[columns], by_tangent=False)
            return
        slack = self.own_error + self._score_error(question.match(scorer, self.queries[self.probes], tails), tails)
        scores = question.match(scorer, self.queries[rows], tails)
        near = (~(scores.amax(1) < own[:, 0] - slack.amax())).nonzero()[:, 0]  # NaN is near
        scores, own, rows = scores[near], own[near], rows[near]
        above = ~(scores <= own + slack)
        self.ahead[rows] += above.sum(1)
        undecided = (self.ahead[rows] < self.counter.top).unsqueeze(1)
        pair, place = (undecided & ~above & ~(scores < own - slack)).nonzero().unbind(1)
        self.close += len(pair)
        for pairs, places in zip(rows[pair].split(PAIRS), place.split(PAIRS), strict=True) if len(pair) else ():
            truth = question.table[question.truth].expand(len(pairs), -1)
            both = torch.stack([tails[places], truth], 1).double()
            exact = self.counter.precise.match(self._exact_queries(pairs), both)  # the rival and the truth
            self.ahead.index_add_(0, pairs, beats(exact[:, 0], exact[:, 1]).long())

    def _highest(
        self, rows: Int[Tensor, " X"], tails: Float[Tensor, "K D"]
    ) -> tuple[Float[Tensor, "X K"], Float[Tensor, " K"]]:
        """The tangents of the candidates' scores under some draws, and how far from the truth's score they tell nothing."""
        clean = self.responses[:1]
        at_clean, slopes = tangents(self.counter.precise, clean, tails.double())
        fast = at_clean.to(tails), clean.to(tails), slopes.t().to(tails)

        def under(queries: Tensor, values: Tensor, origin: Tensor, rise: Tensor) -> Tensor:
            return torch.addmm(values, queries - origin, rise)

        exact = under(self.exact_queries, at_clean, clean, slopes.t())
        error = _error(under(self.queries[self.probes], *fast), exact)
        return under(self.queries[rows], *fast), self.own_error + error


def _error(found: Float[Tensor, "P K"], exact: Float[Tensor, "P K"]) -> Float[Tensor, " K"]:
    """How far each column may be from the exact values; one whose errors are small by chance is given the usual one."""
    errors, largest = _largest(found - exact), _largest(exact)
    errors = torch.maximum(errors, errors.median())
    return (SAFETY * errors + 4 * torch.finfo(found.dtype).eps * largest + TIE * (1 + largest)).to(found)


def _largest(values: Float[Tensor, "P K"]) -> Float[Tensor, " K"]:
    """The largest absolute value of each column that is a number; 0 where there is none."""
    return values.abs().nan_to_num(nan=0.0, posinf=0.0).amax(0)

"""What the losses of an objective see on a batch: candidates, vectors after the transforms, scores and labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gnnkg.core import Batch, Candidates, Labels, Lookup, Model, Objective, Scorer, Term, Vectors
from gnnkg.ops.matching.reference import mutated
from gnnkg.samplers.tables import columns
from gnnkg.terms import Ranking
from gnnkg.transforms import DeMix

KINDS = ("positive", "plain", "mutated", "pseudo", "harder")
"""the own tail; a negative as it was drawn; one that a transform has moved; one that DeMix takes for a pseudo-negative; another
that DeMix has mixed with a true negative"""


@dataclass(frozen=True)
class Drawn:
    """One ranking term on one batch."""

    term: Ranking
    entities: Int[Tensor, "B C"]
    """who the columns are, before the transform"""
    negative: Bool[Tensor, "B C"]
    """which of them take part as negatives, before the transform"""
    plain: Vectors
    """before the transform"""
    vectors: Vectors
    """after it"""
    labels: Labels
    """after it"""
    kind: Int[Tensor, "B X"]
    """of each column after it, as an index into ``KINDS``"""


def drawn_by(model: Model, objective: Objective, batch: Batch) -> dict[str, Drawn]:
    """Each ranking term by its name, with candidates from the objective's sampler, as in a training step."""
    candidates: list[Candidates] = []
    found: dict[str, Drawn] = {}

    def sampler(batch: Batch) -> tuple[Candidates, Labels]:
        candidates.append((drawn := objective.sampler(batch))[0])
        return drawn

    def note(name: str, term: Ranking, scorer: Scorer, vectors: Vectors, labels: Labels) -> None:
        found[name] = _drawn(term, scorer, columns(batch, candidates[-1]), vectors, labels)

    noted: dict[str, Term] = {name: _Noting(name, term, note) for name, term in objective.terms.items()}
    Objective(sampler, noted, objective.redraw)(model, batch)
    return found


@dataclass(frozen=True)
class _Noting:
    """Stands in for a term and computes nothing; a ranking term is noted with what it is given."""

    name: str
    term: Term
    note: Callable[[str, Ranking, Scorer, Vectors, Labels], None]

    def before_batch(self, batch: Batch, encode: Callable[[], Lookup]) -> None:
        if isinstance(self.term, Ranking):
            self.term.before_batch(batch, encode)

    def __call__(self, scorer: Scorer, vectors: Vectors, labels: Labels) -> Tensor:
        if isinstance(self.term, Ranking):
            self.note(self.name, self.term, scorer, vectors, labels)
        return torch.zeros(())


def _drawn(term: Ranking, scorer: Scorer, entities: Tensor, plain: Vectors, labels: Labels) -> Drawn:
    vectors, after = term.transformed(scorer, plain, labels)
    kind = torch.full_like(
        after.value, KINDS.index("plain" if term.transform is None else "mutated"), dtype=torch.int64
    )
    if isinstance(term.transform, DeMix):
        kind.fill_(KINDS.index("plain"))
        if vectors.blend is not None:  # its warm-up is over
            with torch.no_grad():
                pseudo = term.transform.suspects(scorer(plain), labels).index_select(1, vectors.blend.first)
            mixed = torch.where(vectors.blend.share < 1, KINDS.index("harder"), KINDS.index("plain"))
            kind = torch.where(pseudo, KINDS.index("pseudo"), mixed)
    kind = kind.scatter(1, after.truth.unsqueeze(1), KINDS.index("positive"))
    return Drawn(term, entities, labels.negatives, plain, vectors, after, kind)


def columns_of(scorer: Scorer, vectors: Vectors) -> Float[Tensor, "B C D"]:
    """The vectors of all columns of the score matrix, stored: each query's own tail, and its candidates mutated or mixed."""
    if vectors.blend is not None:
        vectors = vectors.blend.of_vectors(vectors, scorer.space)
    num_queries = len(vectors.head)
    if vectors.mix is not None:
        table = mutated(vectors.tail, vectors.mix).flatten(0, 1)
    else:
        table = vectors.tail.repeat_interleave(num_queries // len(vectors.tail), 0)
    return table if vectors.own is None else torch.cat([vectors.own.unsqueeze(1), table], 1)

"""What every transform and every term promises: with one table for all queries, and with one for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from gnnkg.core import Labels, Scorer, Term, Transform, Vectors
from gnnkg.losses import CrossEntropy
from gnnkg.terms import Denoising, Ranking
from tests.contracts import discovered
from tests.contracts.test_scorers import CANDIDATES, QUERIES, random_vectors, tensors

pytestmark = pytest.mark.filterwarnings("ignore:DeMix compares negatives")  # it may have the own tail alone
every_transform = pytest.mark.parametrize("make", discovered.transforms)
every_term = pytest.mark.parametrize("make", discovered.terms)
every_scorer = pytest.mark.parametrize("make_scorer", discovered.scorers)
one_table_or_many = pytest.mark.parametrize("tables", [1, QUERIES])

EVERY_SCORER = "Denoising", "Denoising-part=tail"
"""of Denoising's variants, those in which it matters how a scorer depends on its vectors. The others differ in what is drawn and
compared, behind the scorer: they meet one that is affine in the head and one that is not"""
AFFINE_AND_NOT = "DistMult", "RotatE"
UNTRAINABLE = {"head": {"TransE", "MLP-reads_head=False"}, "tail": {"TransE"}}
"""scorers that Denoising refuses, by the part: those that do not read it, or whose gradient by it is constant"""


def _pairs() -> tuple[list[Any], list[Any]]:
    """Terms with scorers, and those pairs that a term refuses."""
    good, refused = [], []
    for term in discovered.terms:
        denoising = term.values[0].cls is Denoising
        parts = term.values[0]().parts if denoising else ()
        for scorer in discovered.scorers:
            if denoising and term.id not in EVERY_SCORER and scorer.id not in AFFINE_AND_NOT:
                continue
            pair = pytest.param(*term.values, *scorer.values, id=f"{term.id}-{scorer.id}")
            (refused if any(scorer.id in UNTRAINABLE[part] for part in parts) else good).append(pair)
    return good, refused


PAIRS, REFUSED = _pairs()
every_term_and_scorer = pytest.mark.parametrize(("make", "make_scorer"), PAIRS)

SEED = 7


def random_labels(masked: bool = True) -> Labels:
    """The truth in front; about a third of the negatives masked."""
    value = torch.zeros(QUERIES, 1 + CANDIDATES, dtype=torch.float64)
    value[:, 0] = 1
    mask = torch.rand(value.shape, generator=torch.Generator().manual_seed(SEED)) < 0.7
    mask[:, 0] = True
    weight = torch.linspace(0.5, 1.5, QUERIES, dtype=torch.float64)
    return Labels(value, mask if masked else None, torch.zeros(QUERIES, dtype=torch.int64), weight)


def term_and_gradients(
    term: Term, scorer: Scorer, vectors: Vectors, labels: Labels
) -> tuple[Tensor, dict[str, Tensor]]:
    """The term's value, and its gradient by everything that it depends on (0 where it does not)."""
    leaves = {"head": vectors.head.clone().requires_grad_()} | tensors(scorer, vectors)
    torch.manual_seed(SEED)  # what a transform draws
    inputs = vectors.replace(**{name: leaves[name] for name in ("head", "relation", "candidates", "own")})
    value = term(scorer, inputs, labels)
    names = ("head", "relation", "candidates", "own")
    by = {name: leaves[name] for name in names} | dict(scorer.named_parameters())
    gradients = torch.autograd.grad(value, list(by.values()), allow_unused=True, materialize_grads=True)
    return value, dict(zip(by, gradients, strict=True))


def check_masked_candidates(term: Term, scorer: Scorer) -> None:
    """Other vectors under the mask: the same value, the same gradients everywhere else, none for them."""
    vectors, labels = random_vectors(scorer, QUERIES, own=True), random_labels()
    assert labels.mask is not None
    hidden = ~labels.mask[:, 1:]
    other = vectors.replace(
        candidates=torch.where(hidden.unsqueeze(2), 3 * torch.randn_like(vectors.tail), vectors.tail)
    )
    value, gradients = term_and_gradients(term, scorer, vectors, labels)
    value_other, gradients_other = term_and_gradients(term, scorer, other, labels)
    assert_close(value_other, value)
    assert_close(gradients_other, gradients)
    assert (gradients_other["candidates"][hidden] == 0).all()


def check_truth(transform: Transform, scorer: Scorer, tables: int) -> None:
    """The query, its own tail and the score of the truth are the same bits as before (noise on the query moves its head)."""
    vectors, labels = random_vectors(scorer, tables, own=True), random_labels()
    changed, relabelled = transform(scorer, vectors, labels)
    moves_query = getattr(transform, "moves_query", False)
    for name in ("relation", "own") if moves_query else ("head", "relation", "own"):
        assert torch.equal(getattr(changed, name), getattr(vectors, name)), name
    row = torch.arange(QUERIES)
    if not moves_query:
        assert torch.equal(scorer(changed)[row, relabelled.truth], scorer(vectors)[row, labels.truth])
    assert torch.equal(relabelled.value[row, relabelled.truth], labels.value[row, labels.truth])
    assert torch.equal(relabelled.truth, labels.truth)
    assert torch.equal(relabelled.weight, labels.weight)
    assert relabelled.mask is not None
    assert labels.mask is not None
    assert relabelled.mask[row, relabelled.truth].all()
    assert not (relabelled.mask & ~labels.mask).any()


@every_transform
@every_scorer
@one_table_or_many
def test_truth_is_untouched(make: Callable[[], Transform], make_scorer: Callable[[], Scorer], tables: int) -> None:
    check_truth(make(), make_scorer().double(), tables)


@every_transform
@every_scorer
def test_transform_and_masked_candidates(make: Callable[[], Transform], make_scorer: Callable[[], Scorer]) -> None:
    check_masked_candidates(Ranking(CrossEntropy(), transform=make()), make_scorer().double())


@every_transform
@every_scorer
@one_table_or_many
def test_transform_has_finite_gradients(
    make: Callable[[], Transform], make_scorer: Callable[[], Scorer], tables: int
) -> None:
    """Also where a candidate is the own tail, and where it answers the query exactly (a distance of 0)."""
    scorer = make_scorer()
    vectors = random_vectors(scorer, tables, own=True, dtype=torch.float32)
    assert vectors.own is not None
    vectors.tail[0, 0] = vectors.own[0]
    vectors.head[0] = vectors.relation[0] = vectors.own[0] = vectors.tail[0, 1] = 0.0
    labels = random_labels(masked=False)
    value, gradients = term_and_gradients(Ranking(CrossEntropy(), transform=make()), scorer, vectors, labels)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients.values())


@every_transform
def test_transform_draws_by_torch_seed_and_changes_nothing_in_place(make: Callable[[], Transform]) -> None:
    scorer = discovered.scorers[0].values[0]()
    vectors, labels = random_vectors(scorer, 2, own=True, dtype=torch.float32), random_labels()
    before = [x.clone() for x in (vectors.head, vectors.relation, vectors.tail, labels.value)]

    def scores(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return scorer(make()(scorer, vectors, labels)[0])

    assert torch.equal(scores(1), scores(1))
    if getattr(make(), "choose", "random") == "random":
        assert not torch.equal(scores(1), scores(2))
    after = [vectors.head, vectors.relation, vectors.tail, labels.value]
    assert all(torch.equal(x, y) for x, y in zip(before, after, strict=True))


@every_term_and_scorer
def test_term_and_masked_candidates(make: Callable[[], Term], make_scorer: Callable[[], Scorer]) -> None:
    check_masked_candidates(make(), make_scorer().double())


@every_term_and_scorer
@one_table_or_many
def test_term_has_finite_gradients(make: Callable[[], Term], make_scorer: Callable[[], Scorer], tables: int) -> None:
    """Also for vectors of zeros, where norms have no derivative."""
    scorer = make_scorer()
    vectors = random_vectors(scorer, tables, own=True, dtype=torch.float32)
    assert vectors.own is not None
    vectors.head[0] = vectors.relation[0] = vectors.own[0] = vectors.tail[0, 1] = 0.0
    value, gradients = term_and_gradients(make(), scorer, vectors, random_labels())
    assert value.shape == ()
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert any(gradient.abs().sum() > 0 for gradient in gradients.values())


@every_term_and_scorer
@one_table_or_many
def test_own_column_or_column_of_the_table(
    make: Callable[..., Term], make_scorer: Callable[[], Scorer], tables: int
) -> None:
    """The truth as the own column, or as a column of the table: the same term, where both hold the same candidates."""
    scorer = make_scorer().double()
    vectors = random_vectors(scorer, tables)
    table = torch.arange(QUERIES) // (QUERIES // tables)
    truth = torch.arange(QUERIES) % CANDIDATES
    own = vectors.tail[table, truth]
    value = torch.zeros(QUERIES, CANDIDATES, dtype=torch.float64).scatter_(1, truth.unsqueeze(1), 1.0)
    weight = torch.ones(QUERIES, dtype=torch.float64)
    inside = Labels(value, None, truth, weight)
    in_front = Labels(
        torch.cat([torch.ones(QUERIES, 1), torch.zeros(QUERIES, CANDIDATES)], 1).double(),
        torch.cat([torch.ones(QUERIES, 1, dtype=torch.bool), value == 0], 1),
        torch.zeros(QUERIES, dtype=torch.int64),
        weight,
    )
    term = make(**({"per_negative": False} if "per_negative" in make.arguments else {}))
    torch.manual_seed(SEED)  # what a term draws
    expected = term(scorer, vectors, inside)
    torch.manual_seed(SEED)
    assert_close(term(scorer, vectors.replace(own=own), in_front), expected)


@pytest.mark.parametrize(("make", "make_scorer"), REFUSED)
def test_term_says_at_the_first_batch_what_it_cannot_train(
    make: Callable[[], Term], make_scorer: Callable[[], Scorer]
) -> None:
    scorer = make_scorer().double()
    with pytest.raises(ValueError, match=r"does not read the head|is constant almost everywhere"):
        make()(scorer, random_vectors(scorer, 1, own=True), random_labels())


def test_the_named_variants_and_scorers_exist() -> None:
    """Otherwise a new name would leave out pairs, and nobody would notice."""
    assert set(EVERY_SCORER) <= {term.id for term in discovered.terms}
    assert {*AFFINE_AND_NOT, *UNTRAINABLE["head"], *UNTRAINABLE["tail"]} <= {one.id for one in discovered.scorers}
    assert len(REFUSED) == 3


@every_term
def test_weight(make: Callable[..., Term]) -> None:
    scorer = discovered.scorers[0].values[0]().double()
    vectors, labels = random_vectors(scorer, 1, own=True), random_labels()
    torch.manual_seed(SEED)
    light = make(weight=0.1)(scorer, vectors, labels)
    torch.manual_seed(SEED)
    assert_close(make(weight=0.3)(scorer, vectors, labels), 3 * light)

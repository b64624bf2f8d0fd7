"""What every scorer promises: as it ranks, without dropout and with running statistics (``discovered.settled``), and in training.

``reference_ops`` serves the checks that differentiate twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.testing import assert_close

from gnnkg.core import Scorer, Vectors
from gnnkg.ops import matching
from gnnkg.ops.matching import Drawn, Gathered, Mix, reference
from gnnkg.ops.matching.drawn import masks
from tests.contracts import discovered

QUERIES, CANDIDATES = 6, 5
LAYOUTS = ("none", "query", "negative", "pair")

every_scorer = pytest.mark.parametrize("make", discovered.scorers)
every_scorer_in_training = pytest.mark.parametrize("make", discovered.scorers_in_training)
every_layout = pytest.mark.parametrize("layout", LAYOUTS)
every_sharing = pytest.mark.parametrize("tables", [1, 2, 3, QUERIES])


@contextmanager
def reference_ops() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("both", "dot", "l1", "modulus", "mutated", "sine", "spread", "squared"):
            patch.setattr(matching, name, getattr(reference, name))
        yield


def random_vectors(
    scorer: Scorer,
    tables: int,
    layout: str = "none",
    own: bool = False,
    dtype: torch.dtype = torch.float64,
    queries: int = QUERIES,
    candidates: int = CANDIDATES,
) -> Vectors:
    """Vectors for a scorer. ``layout`` says which pairs share a mask; the mask agrees on what the scorer's space ties."""
    space = scorer.space
    draw = torch.Generator().manual_seed(tables)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw, dtype=dtype)

    tail, truth = normal(tables, candidates, space.entity_dim), normal(queries, space.entity_dim)
    mix = None
    if layout == "pair":
        mix = Mix(truth, Drawn(0.5, seed=tables))
    elif layout != "none":
        shape = (queries,) if layout == "query" else (tables, candidates)
        width = space.entity_dim // 2 if space.joined else space.entity_dim
        keep = torch.randint(2, (*shape, width), generator=draw).to(dtype)
        mix = Mix(truth, torch.cat([keep, keep], -1) if space.joined else keep)
    head, relation = normal(queries, space.entity_dim), normal(queries, space.relation_dim)
    return Vectors(head, relation, tail, truth if own else None, mix)


def alone(vectors: Vectors, query: int) -> Vectors:
    """One query of a batch with the table that serves it."""
    tables, num_queries = len(vectors.tail), len(vectors.head)
    table, row = slice(query * tables // num_queries, query * tables // num_queries + 1), slice(query, query + 1)
    own, mix = vectors.own, vectors.mix
    if mix is not None and isinstance(mix.keep, Drawn):
        return alone(explicit(vectors), query)
    if mix is not None:
        mix = Mix(mix.own[row], mix.keep[row] if mix.keep.dim() == 2 else mix.keep[table])
    own = own if own is None else own[row]
    return Vectors(vectors.head[row], vectors.relation[row], vectors.tail[table], own, mix)


def explicit(vectors: Vectors) -> Vectors:
    """The same with every mutated candidate stored: a table of its own for each query, and no mix."""
    mix, each = vectors.mix, len(vectors.head) // len(vectors.tail)
    assert mix is not None
    tail = vectors.tail.repeat_interleave(each, 0)
    if isinstance(mix.keep, Drawn):
        keep = masks(mix.keep, *tail.shape).to(tail.dtype)
    else:
        keep = mix.keep.unsqueeze(1) if mix.keep.dim() == 2 else mix.keep.repeat_interleave(each, 0)
    return vectors.replace(candidates=keep * tail + (1 - keep) * mix.own.unsqueeze(1), mix=None)


def tensors(scorer: Scorer, vectors: Vectors) -> dict[str, Tensor]:
    """Everything that scores depend on differentiably, as leaves."""
    names = ("head", "relation", "candidates", "own") if scorer.reads_head else ("relation", "candidates", "own")
    leaves = {name: getattr(vectors, name) for name in names}
    if vectors.mix is not None:
        leaves["own"] = vectors.mix.own
    leaves |= dict(scorer.named_parameters())
    return {name: leaf.detach().clone().requires_grad_() for name, leaf in leaves.items() if leaf is not None}


def score(scorer: Scorer, vectors: Vectors, leaves: dict[str, Tensor], form: Callable = lambda x: x) -> Tensor:
    """Scores as a function of the leaves."""
    changes = {name: leaves[name] for name in ("head", "relation", "candidates") if name in leaves}
    changes["own"] = leaves["own"] if vectors.own is not None else None
    changes["mix"] = None if vectors.mix is None else Mix(leaves["own"], vectors.mix.keep)
    parameters = {name: leaf for name, leaf in leaves.items() if name not in ("head", "relation", "candidates", "own")}
    return functional_call(scorer, parameters, (form(vectors.replace(**changes)),))


def values_and_gradients(scorer: Scorer, vectors: Vectors, form: Callable = lambda x: x) -> list[Tensor]:
    leaves = tensors(scorer, vectors)
    scores = score(scorer, vectors, leaves, form)
    upstream = torch.randn(scores.shape, generator=torch.Generator().manual_seed(1), dtype=scores.dtype)
    return [scores, *torch.autograd.grad(scores, list(leaves.values()), upstream)]


@every_scorer
@every_layout
@every_sharing
def test_sharing(make: Callable[[], Scorer], tables: int, layout: str) -> None:
    """A query's scores depend on the candidates in its own table, and on no other query."""
    scorer = make().double()
    vectors = random_vectors(scorer, tables, layout, own=True)
    together = scorer(vectors)
    assert together.shape == (QUERIES, 1 + CANDIDATES)
    assert_close(together, torch.cat([scorer(alone(vectors, query)) for query in range(QUERIES)]))


@every_scorer
@pytest.mark.parametrize("layout", ["query", "candidate", "pair", "shared"])
@pytest.mark.parametrize("own", [False, True])
def test_versions_scored_together(make: Callable[[], Scorer], layout: str, own: bool) -> None:
    """As each by itself, values and gradients, by one query; whatever is another tensor is scored by itself."""
    scorer = make().eval()
    vectors = random_vectors(scorer, 1, "query" if layout == "shared" else layout, own, torch.float32, queries=40)
    assert vectors.mix is not None
    if layout == "shared":
        vectors = vectors.replace(mix=Mix(vectors.mix.own, vectors.mix.keep[:2]))
    head = vectors.head.requires_grad_()
    tail = vectors.tail.requires_grad_()
    plain = vectors.replace(mix=None)
    other = plain.replace(head=head * 2)
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        query = type(scorer).query
        patch.setattr(type(scorer), "query", lambda self, *given: asked.append(1) or query(self, *given))
        together = scorer.each([vectors, other, plain])
    assert len(asked) == 2
    apart = [scorer(vectors), scorer(other), scorer(plain)]
    assert_close(together, apart)
    weights = [torch.randn_like(scores) for scores in apart]
    by = {"retain_graph": True, "materialize_grads": True}
    ours, theirs = (torch.autograd.grad(scores, (head, tail), weights, **by) for scores in (together, apart))
    assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@every_scorer
def test_order(make: Callable[[], Scorer]) -> None:
    """Candidates and queries in another order: the same scores in that order."""
    scorer = make().double()
    vectors = random_vectors(scorer, tables=1)
    queries, candidates = torch.randperm(QUERIES), torch.randperm(CANDIDATES)
    moved = Vectors(vectors.head[queries], vectors.relation[queries], vectors.tail[:, candidates])
    assert_close(scorer(moved), scorer(vectors)[queries][:, candidates])


@every_scorer
def test_inverse(make: Callable[[], Scorer]) -> None:
    """f(h, r, t) == f(t, inverse(r), h)."""
    scorer = make().double()
    if scorer.space.inverse is None:
        pytest.skip("learned inverses only")
    vectors = random_vectors(scorer, tables=QUERIES, candidates=1)
    backwards = Vectors(vectors.tail[:, 0], scorer.space.inverse(vectors.relation), vectors.head.unsqueeze(1))
    assert_close(scorer(backwards), scorer(vectors))


@every_scorer
def test_own_column(make: Callable[[], Scorer]) -> None:
    """The own tail scores the same in front of the table as inside it."""
    scorer = make()
    vectors = random_vectors(scorer, tables=QUERIES, dtype=torch.float32)
    scores = scorer(vectors.replace(own=vectors.tail[:, 2]))
    assert_close(scores[:, 0], scores[:, 3])
    assert_close(scores[:, 1:], scorer(vectors))


@every_scorer
@every_layout
@pytest.mark.parametrize("order", [1, 2])
def test_derivatives_of_the_reference(make: Callable[..., Scorer], layout: str, order: int) -> None:
    scorer = make(dim=2).double()
    vectors = random_vectors(scorer, 2, layout, own=True, queries=2, candidates=2)
    leaves = tensors(scorer, vectors)

    def function(*inputs: Tensor) -> Tensor:
        return score(scorer, vectors, dict(zip(leaves, inputs, strict=True)))

    check = gradcheck if order == 1 else gradgradcheck
    with reference_ops():
        assert check(function, tuple(leaves.values()))


@every_scorer
@every_layout
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("tables", [1, 3, 24])
def test_backend(make: Callable[[], Scorer], layout: str, dtype: torch.dtype, tables: int) -> None:
    """The ops that serve this machine agree with their definition, in values and gradients."""
    scorer = make().to(dtype)
    vectors = random_vectors(scorer, tables, layout, own=True, dtype=dtype, queries=24, candidates=21)
    fast = values_and_gradients(scorer, vectors)
    with reference_ops():
        slow = values_and_gradients(scorer, vectors)
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {"rtol": 1e-9, "atol": 1e-9}
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours.dtype == dtype
        assert_close(ours, theirs, **tolerance)


@every_scorer
@every_layout
def test_second_derivative_is_right_or_refused(make: Callable[[], Scorer], layout: str) -> None:
    """An op that cannot be differentiated twice says so; it never gives a wrong second derivative."""
    scorer = make()
    vectors = random_vectors(scorer, 1, layout, own=True, dtype=torch.float32, queries=2, candidates=2)

    def second() -> list[Tensor]:
        leaves = tensors(scorer, vectors)
        scores = score(scorer, vectors, leaves)
        first = torch.autograd.grad(scores.square().sum(), list(leaves.values()), create_graph=True)
        return list(torch.autograd.grad(sum(g.square().sum() for g in first), list(leaves.values())))

    with reference_ops():
        right = second()
    given, refusal = None, ""
    try:
        given = second()
    except RuntimeError as error:
        refusal = str(error)
    if given is None:
        assert "differentiated" in refusal
    else:
        assert_close(given, right, rtol=1e-3, atol=1e-3)


@every_scorer
@every_sharing
@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_mutation(make: Callable[[], Scorer], tables: int, layout: str) -> None:
    """A mask gives what the stored mutated candidates give, in values and gradients (EMU's identities 1 and 2)."""
    scorer = make().double()
    vectors = random_vectors(scorer, tables, layout, own=True)
    with reference_ops():
        stored = values_and_gradients(scorer, vectors, form=explicit)
    assert_close(values_and_gradients(scorer, vectors), stored)


@every_scorer
def test_initial_values(make: Callable[[], Scorer]) -> None:
    """The space's ``init`` writes every number, by torch's generator, and the first scores are finite and not all equal."""
    scorer = make()
    space = scorer.space

    def filled() -> tuple[Tensor, Tensor]:
        entity, relation = torch.full((9, space.entity_dim), torch.nan), torch.full((6, space.relation_dim), torch.nan)
        space.init(entity, relation)
        return entity, relation

    torch.manual_seed(3)
    entity, relation = filled()
    torch.manual_seed(3)
    assert_close(filled(), (entity, relation), rtol=0, atol=0)
    assert entity.isfinite().all()
    assert relation.isfinite().all()
    assert len(entity.unique(dim=0)) == len(entity)
    scores = scorer(Vectors(entity[:6], relation, entity.unsqueeze(0)))
    assert scores.isfinite().all()
    assert scores.std() > 0


@every_scorer
def test_relation_matters(make: Callable[[], Scorer]) -> None:
    """Scores depend on the head (unless the scorer says that it reads none), on the relation and on the tail."""
    scorer = make().double()
    vectors = random_vectors(scorer, tables=2)
    for gradient in values_and_gradients(scorer, vectors)[1:]:
        assert gradient.abs().sum() > 0
    other_heads = scorer(vectors.replace(head=vectors.head.flip(0)))
    assert torch.equal(other_heads, scorer(vectors)) != scorer.reads_head


@every_scorer_in_training
def test_training_on_one_query(make: Callable[[], Scorer]) -> None:
    """The last batch of an epoch may be a single query, which has no statistics of its own."""
    scorer = make()
    for row in range(2):
        scores, *gradients = values_and_gradients(scorer, alone(random_vectors(scorer, 1, dtype=torch.float32), row))
        assert scores.isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)


@every_scorer_in_training
def test_a_pass_without_gradients_leaves_no_trace(make: Callable[[], Scorer]) -> None:
    """Methods score to choose, and denoise in evaluation mode: neither changes the scorer."""
    scorer = make()
    vectors = random_vectors(scorer, 2, own=True, dtype=torch.float32)
    before = {name: value.clone() for name, value in scorer.state_dict().items()}
    with torch.no_grad():
        scorer(vectors)
    scorer.eval()(vectors)
    assert scorer.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in scorer.train().state_dict().items())


@every_scorer
def test_rows_of_a_table_score_as_stored_candidates(make: Callable[[], Scorer]) -> None:
    """Values and gradients, in single precision against double."""
    scorer = make()
    vectors = random_vectors(scorer, QUERIES, own=True, dtype=torch.float32)
    table, ids = vectors.tail.flatten(0, 1)[:8].clone(), torch.randint(8, (QUERIES, CANDIDATES))
    gradient = torch.randn(QUERIES, 1 + CANDIDATES)

    def found(scorer: Scorer, stored: bool, dtype: torch.dtype) -> tuple[Tensor, ...]:
        head, rows = vectors.head.to(dtype).requires_grad_(), table.to(dtype).requires_grad_()
        relation, own = vectors.relation.to(dtype), vectors.own.to(dtype) if vectors.own is not None else None
        scores = scorer(Vectors(head, relation, rows[ids] if stored else Gathered(rows, ids), own))
        found = torch.autograd.grad(scores, (head, rows), gradient.to(dtype), allow_unused=not scorer.reads_head)
        return scores, *(each for each in found if each is not None)

    ours = found(scorer, stored=False, dtype=torch.float32)
    theirs = found(scorer.double(), stored=True, dtype=torch.float64)
    assert_close(ours, theirs, rtol=1e-4, atol=1e-3, check_dtype=False)

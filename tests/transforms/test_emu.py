"""EMU against its definition and the identities that follow from it. What any transform promises is in tests/contracts."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import chi2
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gnnkg.core import Labels, Model, Objective, Sampler, Scorer, Transform, Vectors
from gnnkg.data.queries import Queries
from gnnkg.encoders import Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import CrossEntropy
from gnnkg.ops.matching import Drawn
from gnnkg.samplers import AllEntities, Uniform, WithPositives
from gnnkg.scorers import MLP, ComplEx, ConvE, DistMult, HousE, RotatE, TransE
from gnnkg.terms import Ranking
from gnnkg.transforms import EMU, Mixup
from tests.contracts import discovered
from tests.contracts.test_scorers import explicit, random_vectors, reference_ops, values_and_gradients

MASKS = ("query", "negative", "pair")

every_scorer = pytest.mark.parametrize("make_scorer", discovered.scorers)
every_layout = pytest.mark.parametrize("masks", MASKS)


def one_hot(vectors: Vectors) -> Labels:
    """The truth in front, every other column false."""
    num_queries = len(vectors.head)
    value = torch.zeros(num_queries, 1 + vectors.tail.shape[1], dtype=vectors.head.dtype)
    value[:, 0] = 1
    weight = torch.ones(num_queries, dtype=vectors.head.dtype)
    return Labels(value, None, torch.zeros(num_queries, dtype=torch.int64), weight)


def mutated(emu: EMU, scorer: Scorer, vectors: Vectors) -> Vectors:
    return emu(scorer, vectors, one_hot(vectors))[0]


def mask_of(emu: EMU, scorer: Scorer, num_queries: int = 40, num_candidates: int = 50) -> Tensor:
    """The mask in every layout: mutate candidates of ones towards own tails of zeros."""
    space = scorer.space
    head, relation = torch.zeros(num_queries, space.entity_dim), torch.zeros(num_queries, space.relation_dim)
    vectors = Vectors(head, relation, torch.ones(1, num_candidates, space.entity_dim), torch.zeros_like(head))
    changed = mutated(emu, scorer, vectors)
    if changed.mix is None:
        return changed.tail
    return explicit(changed).tail if isinstance(changed.mix.keep, Drawn) else changed.mix.keep


def test_masks_that_queries_share() -> None:
    """``num_masks`` rows of a mask, fewer where the batch is smaller, which consecutive queries take in turn."""
    scorer = DistMult(6)
    keep = mask_of(EMU(0.5, num_masks=3), scorer)
    assert keep.shape == (3, 6)
    assert mask_of(EMU(0.5, num_masks=3), scorer, num_queries=2).shape == (2, 6)
    vectors = random_vectors(scorer, 1, own=True, dtype=torch.float32, queries=7)
    shared = mutated(EMU(0.5, num_masks=3), scorer, vectors)
    each = shared.mix._replace(keep=shared.mix.keep[[0, 0, 0, 1, 1, 2, 2]])
    assert_close(scorer(shared), scorer(shared.replace(mix=each)))
    assert_close(scorer(shared), scorer(explicit(shared.replace(mix=each))))
    for wrong in ({"num_masks": 0}, {"num_masks": 2, "masks": "pair"}, {"num_masks": 2, "choose": "variance"}):
        with pytest.raises(ValueError, match="num_masks"):
            EMU(**wrong)


@every_scorer
@every_layout
def test_without_mutation_and_label_it_is_plain_cross_entropy(make_scorer: Callable[[], Scorer], masks: Any) -> None:
    scorer = make_scorer().double()
    vectors = random_vectors(scorer, 2, own=True)
    plain = Ranking(CrossEntropy())(scorer, vectors, one_hot(vectors))
    emu = EMU(keep=1.0, label=0.0, masks=masks)
    assert_close(Ranking(CrossEntropy(), transform=emu)(scorer, vectors, one_hot(vectors)), plain)
    per_negative = Ranking(CrossEntropy(), per_negative=True, transform=emu)(scorer, vectors, one_hot(vectors))
    assert_close(per_negative, plain / vectors.tail.shape[1])


@every_scorer
@every_layout
def test_a_negative_that_keeps_nothing_is_the_positive(make_scorer: Callable[[], Scorer], masks: Any) -> None:
    scorer = make_scorer().double()
    vectors = random_vectors(scorer, 2, own=True)
    if biases := scorer.space.biases:  # which a negative keeps
        vectors.tail[:, :, -biases:] = 0
        vectors.own[:, -biases:] = 0
    scores = scorer(mutated(EMU(keep=0.0, masks=masks), scorer, vectors))
    assert_close(scores, scores[:, :1].expand_as(scores))


@every_layout
@pytest.mark.parametrize("count", ["bernoulli", "exact"])
def test_a_bias_stays_the_negatives(masks: Any, count: Any) -> None:
    scorer = ConvE(20, height=4).eval()
    vectors = random_vectors(scorer, 1, own=True, dtype=torch.float32)
    tail, own = torch.zeros_like(vectors.tail), torch.zeros_like(vectors.own)
    tail[:, :, -1], own[:, -1] = -5, 5
    vectors = vectors.replace(candidates=tail, own=own)
    changed = mutated(EMU(keep=0.0, masks=masks, count=count), scorer, vectors)
    with torch.no_grad():
        plain, both = scorer(vectors), scorer(changed)
    assert (plain[:, 0] == 5).all()
    assert (both[:, 0] == 5).all()
    assert (both[:, 1:] == -5).all()
    if masks == "query":
        chosen = mutated(EMU(keep=0.0, choose="variance"), scorer, vectors).mix.keep
        assert torch.equal(chosen, torch.cat([torch.zeros(len(own), 20), torch.ones(len(own), 1)], 1))


def test_random_components_are_copied_where_none_matters_more() -> None:
    """The slopes of an L1 distance and of a modulus are all level: rounding must not choose, nor the order of components."""
    for make_scorer in (TransE, RotatE):
        scorer = make_scorer(20)
        torch.manual_seed(0)
        vectors = random_vectors(scorer, 1, own=True, dtype=torch.float32, queries=40)
        keep = mutated(EMU(keep=0.5, choose="gradient"), scorer, vectors).mix.keep
        assert (keep.sum(1) == keep.shape[1] / 2).all()
        assert keep.mean(0).min() > 0.25
        assert keep.mean(0).max() < 0.75


@every_layout
@pytest.mark.parametrize("keep", [0.1, 0.39, 0.94])
def test_share_of_kept_components(masks: Any, keep: float) -> None:
    mask = mask_of(EMU(keep=keep, masks=masks), DistMult(dim=64))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert abs(mask.mean().item() - keep) < 3 * math.sqrt(keep * (1 - keep) / mask.numel())


@every_layout
@pytest.mark.parametrize("keep", [0.1, 0.39, 0.5, 0.94])
def test_exact_count(masks: Any, keep: float) -> None:
    """Exactly round(keep * D) of the D components, and each of them as likely as another (a chi-square test)."""
    sizes = (40, 50) if masks == "pair" else (2000, 2000)
    mask = mask_of(EMU(keep=keep, masks=masks, count="exact"), DistMult(dim=64), *sizes)
    assert (mask.sum(-1) == round(keep * 64)).all()
    rows, share = mask.numel() // 64, round(keep * 64) / 64
    kept = mask.reshape(rows, 64).sum(0)
    statistic = ((kept - rows * share).square() / (rows * share * (1 - share))).sum().item()
    assert chi2.sf(statistic * 63 / 64, df=63) > 1e-3


@every_layout
@pytest.mark.parametrize("unit", ["real", "block"])
@pytest.mark.parametrize("make_scorer", [ComplEx, RotatE])
def test_halves_of_complex_numbers(make_scorer: Callable[..., Scorer], unit: Any, masks: Any) -> None:
    """Masked apart with ``real``, together with ``block``, and together in a shared mask where a modulus joins them."""
    scorer = make_scorer(dim=64)
    re, im = mask_of(EMU(keep=0.39, masks=masks, mask_unit=unit), scorer).chunk(2, -1)
    if unit == "block" or (isinstance(scorer, RotatE) and masks != "pair"):
        assert torch.equal(re, im)
    else:
        correlation = torch.corrcoef(torch.stack([re.flatten(), im.flatten()]))[0, 1]
        assert abs(correlation.item()) < 4 / math.sqrt(re.numel())


@every_layout
def test_masks_are_independent(masks: Any) -> None:
    """No two queries, candidates or pairs that may differ share a mask, and each call draws anew."""
    emu, scorer = EMU(keep=0.5, masks=masks), DistMult(dim=64)
    mask = mask_of(emu, scorer)
    expected = {"query": (40,), "negative": (1, 50), "pair": (40, 50)}[masks]
    assert mask.shape[:-1] == expected
    rows = mask.flatten(0, -2)
    assert len(rows.unique(dim=0)) == len(rows)
    assert not torch.equal(mask, mask_of(emu, scorer))


@every_scorer
@every_layout
@pytest.mark.parametrize("detach", [False, True])
def test_gradient_reaches_the_positive_through_the_negatives(
    make_scorer: Callable[[], Scorer], masks: Any, detach: bool
) -> None:
    scorer = make_scorer().double()
    vectors = random_vectors(scorer, 2, own=True)
    own = vectors.own.clone().requires_grad_()
    emu = EMU(keep=0.5, masks=masks, detach_positive=detach)
    scores = scorer(mutated(emu, scorer, vectors.replace(own=own)))
    (gradient,) = torch.autograd.grad(
        scores[:, 1:].sum(), own, retain_graph=True, materialize_grads=True, allow_unused=True
    )
    assert (gradient.abs().sum() == 0) == detach
    (gradient,) = torch.autograd.grad(scores[:, 0].sum(), own)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("beta", [0.0, 0.25, 0.53])
def test_unbounded_label_smoothing(beta: float) -> None:
    """L == Y CE(y / Y, p), values and gradients, and dL/ds_j == (Y p_j - y_j) / B."""
    scorer = DistMult(dim=4).double()
    vectors = random_vectors(scorer, 1, own=True)
    labels = EMU(keep=1.0, label=beta)(scorer, vectors, one_hot(vectors))[1]
    scores = torch.randn(labels.value.shape, dtype=torch.float64, requires_grad=True)
    num_queries, num_negatives = scores.shape[0], scores.shape[1] - 1
    total = 1 + beta * num_negatives
    target = torch.tensor([[1.0] + num_negatives * [beta]]).double().expand_as(scores)
    assert_close(labels.value, target)
    ours = CrossEntropy()(scores, labels).mean()
    theirs = total * functional.cross_entropy(scores, target / total)
    assert_close(ours, theirs)
    (gradient,) = torch.autograd.grad(ours, scores)
    assert_close(gradient, (total * scores.softmax(1) - target) / num_queries)
    assert_close(gradient, torch.autograd.grad(theirs, scores)[0])


@every_scorer
@every_layout
@pytest.mark.parametrize("tables", [1, 2, 6])
@pytest.mark.parametrize("unit", ["real", "block"])
def test_masks_equal_the_stored_candidates(
    make_scorer: Callable[[], Scorer], masks: Any, tables: int, unit: Any
) -> None:
    """Identities 1 and 2: values and gradients of the mask that EMU drew, against z' = m z + (1 - m) z+ stored."""
    scorer = make_scorer().double()
    changed = mutated(EMU(keep=0.5, masks=masks, mask_unit=unit), scorer, random_vectors(scorer, tables, own=True))
    with reference_ops():
        stored = values_and_gradients(scorer, changed, form=explicit)
    assert_close(values_and_gradients(scorer, changed), stored)


def test_pairs_take_each_component_from_one_of_the_two() -> None:
    scorer = DistMult(dim=32)
    vectors = random_vectors(scorer, 2, own=True, dtype=torch.float32)
    changed = explicit(mutated(EMU(keep=0.3, masks="pair"), scorer, vectors))
    each = vectors.tail.repeat_interleave(3, 0)
    from_negative, from_positive = changed.tail == each, changed.tail == vectors.own.unsqueeze(1)
    assert (from_negative ^ from_positive).all(), "components should be copied bit for bit"


@every_layout
def test_fewer_own_components_are_nearer_to_the_positive(masks: Any) -> None:
    scorer = DistMult(dim=64)
    vectors = random_vectors(scorer, 1, own=True, dtype=torch.float32, queries=30, candidates=30)

    def cosine(keep: float) -> float:
        changed = mutated(EMU(keep=keep, masks=masks), scorer, vectors)
        tail = changed.tail if changed.mix is None else explicit(changed).tail
        return functional.cosine_similarity(tail, vectors.own.unsqueeze(1), dim=-1).mean().item()

    nearness = [cosine(keep) for keep in (0.9, 0.7, 0.5, 0.3, 0.1)]
    assert nearness == sorted(nearness)
    assert nearness[-1] - nearness[0] > 0.5


@every_layout
def test_mutation_scales_the_gap_of_a_bilinear_score(masks: Any) -> None:
    """E[s_0 - s'] == keep (s_0 - s)."""
    scorer, keep, draws = DistMult(dim=8).double(), 0.4, 800
    vectors = random_vectors(scorer, 1, own=True)
    scores = scorer(vectors)
    expected = keep * (scores[:, :1] - scores[:, 1:])
    emu = EMU(keep=keep, masks=masks)
    gaps = torch.stack([(s := scorer(mutated(emu, scorer, vectors)))[:, :1] - s[:, 1:] for _ in range(draws)])
    error = gaps.std(0) / math.sqrt(draws)
    assert ((gaps.mean(0) - expected).abs() < 5 * error).all()


@pytest.mark.parametrize("beta", [0.25, 0.53])
def test_training_ends_at_the_target_gap(beta: float) -> None:
    """s_0 - s_j == log(1 / beta) where the vectors are free."""
    scorer = DistMult(dim=12).double()
    vectors = random_vectors(scorer, 1, own=True, queries=1)
    free = [x.clone().requires_grad_() for x in (vectors.head, vectors.tail, vectors.own)]
    optimizer = torch.optim.LBFGS(free, max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-10)
    term = Ranking(CrossEntropy(), per_negative=True, transform=EMU(keep=1.0, label=beta))

    def current() -> Vectors:
        return vectors.replace(head=free[0], candidates=free[1], own=free[2])

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = term(scorer, current(), one_hot(vectors))
        loss.backward()
        return loss

    optimizer.step(closure)
    scores = scorer(current())
    assert_close(scores[:, :1] - scores[:, 1:], torch.full((1, 5), math.log(1 / beta)).double(), rtol=1e-3, atol=1e-3)


class LargestTensor(TorchDispatchMode):
    """The size of the largest tensor that any operation gives."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves(out) if isinstance(x, Tensor)]
        self.numel = max([self.numel, *(x.untyped_storage().nbytes() // x.itemsize for x in tensors)])
        return out


@pytest.mark.parametrize("make_scorer", [each for each in discovered.scorers if each.values[0].cls not in (HousE, MLP)])
@every_layout
def test_no_candidate_is_stored_for_each_query(make_scorer: Callable[..., Scorer], masks: Any) -> None:
    """Forward and backward, nothing has B * K * D numbers, neither torch's nor NumPy's (which tracemalloc sees).

    A network and a sum of norms of blocks are no sums over components, and say what they store.
    """
    num_queries, num_candidates, dim = 64, 128, 16
    scorer = make_scorer(dim=dim)
    vectors = random_vectors(scorer, 1, own=True, dtype=torch.float32, queries=num_queries, candidates=num_candidates)
    leaves = [getattr(vectors, name).requires_grad_() for name in ("head", "relation", "tail", "own")]
    term = Ranking(CrossEntropy(), per_negative=True, transform=EMU(keep=0.4, masks=masks))
    term(scorer, vectors, one_hot(vectors)).backward()  # what is compiled on the first call does not count
    one_for_each_pair = num_queries * num_candidates * dim
    tracemalloc.start()
    with LargestTensor() as largest:
        term(scorer, vectors, one_hot(vectors)).backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(leaf.grad is not None for leaf in leaves)
    assert 0 < largest.numel <= one_for_each_pair // 4
    assert peak < 4 * one_for_each_pair


def test_all_entities_are_refused(graph: KnowledgeGraph) -> None:
    """1-vs-all has no sampled negatives to mutate: the message says what to use instead."""
    scorer = DistMult(dim=4)
    objective = Objective(AllEntities(), {"mutated": Ranking(CrossEntropy(), transform=EMU())})
    model = Model(Table(graph, scorer.space), scorer)
    with pytest.raises(ValueError, match=r"(?s)Uniform.*AllEntities.*without EMU"):
        objective(model, Queries(4).of(graph, seed=0)[0])


@pytest.mark.parametrize("transform", [EMU(keep=1, label=0.3), Mixup()])
@pytest.mark.parametrize("sampler", [AllEntities(true="all", apart=True), AllEntities(smoothing=0.1, apart=True)])
def test_negatives_that_have_labels_are_refused(sampler: Sampler, transform: Transform, graph: KnowledgeGraph) -> None:
    """Known tails of K-vs-all would else become soft negatives."""
    scorer = DistMult(dim=4)
    objective = Objective(sampler, {"mutated": Ranking(CrossEntropy(), transform=transform)})
    model = Model(Table(graph, scorer.space), scorer)
    with pytest.raises(ValueError, match=r"have labels above 0 already.*true='own'"):
        objective(model, Queries(4).of(graph, seed=0)[0])


def test_known_tails_that_take_no_part_may_have_labels(graph: KnowledgeGraph) -> None:
    batch = Queries(4).of(graph, seed=0)[0]
    candidates, labels = WithPositives(Uniform(5, share="query"), 3)(batch)
    vectors = Table(graph, DistMult(4).space)(graph)(batch.head, batch.relation, candidates)
    _, softened = EMU(label=0.3)(DistMult(4), vectors, labels)
    assert labels.mask is not None
    assert torch.equal(softened.mask, labels.mask)
    assert (softened.value[:, 1:] == torch.tensor(0.3)).all()


@pytest.mark.parametrize("arguments", [{"keep": -0.1}, {"keep": 1.1}, {"label": 1.0}, {"label": -0.2}])
def test_arguments_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(arguments.values())))):
        EMU(**arguments)


@every_layout
def test_evaluation_is_never_mutated(graph: KnowledgeGraph, masks: Any) -> None:
    """A training step with EMU draws by torch's seed, and leaves the model's own scores as they are."""
    scorer = DistMult(dim=4)
    model = Model(Table(graph, scorer.space), scorer)
    objective = Objective(Uniform(8), {"mutated": Ranking(CrossEntropy(), transform=EMU(keep=0.3, masks=masks))})
    batch = Queries(6).of(graph, seed=0)[0]
    plain = scorer(model.encoder(graph)(batch.head, batch.relation))

    def loss(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return objective(model, batch)["mutated"]

    assert torch.equal(loss(1), loss(1))
    assert not torch.equal(loss(1), loss(2))
    assert torch.equal(model(graph, batch.head, batch.relation), plain)


@pytest.mark.parametrize("choose", ["gradient", "variance"])
def test_components_that_matter_most_are_copied(choose: Any) -> None:
    """With DistMult the truth's score grows by |h_d r_d| with component d."""
    scorer = DistMult(6)
    torch.manual_seed(0)
    vectors = random_vectors(scorer, 1, own=True)
    assert vectors.own is not None
    matters = (vectors.head * vectors.relation).abs()
    if choose == "variance":
        matters = vectors.own.var(0).expand_as(matters)
    copied = matters.argsort(1, descending=True)[:, :2]
    changed = mutated(EMU(keep=2 / 3, choose=choose), scorer, vectors)
    assert changed.mix is not None
    expected = torch.ones_like(matters).scatter(1, copied, 0.0)
    assert torch.equal(changed.mix.keep, expected)


@every_scorer
@pytest.mark.parametrize("choose", ["gradient", "variance"])
def test_a_choice_works_on_every_scorer(make_scorer: Callable[[], Scorer], choose: Any) -> None:
    scorer = make_scorer()
    vectors = random_vectors(scorer, 2, own=True, dtype=torch.float32)
    changed = mutated(EMU(keep=0.5, choose=choose), scorer, vectors)
    assert changed.mix is not None
    width = scorer.space.entity_dim
    assert (changed.mix.keep.sum(1) == width / 2).all()
    assert scorer(changed).isfinite().all()


def test_a_choice_is_one_mask_a_query() -> None:
    with pytest.raises(ValueError, match="masks='query'"):
        EMU(choose="gradient", masks="pair")

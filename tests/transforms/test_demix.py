"""DeMix against its definition. What any transform promises is in tests/contracts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from scipy.stats import beta, kstest
from torch import Tensor
from torch.testing import assert_close

from gnnkg.core import Batch, Blend, Candidates, Labels, Model, Objective, Scorer, Vectors
from gnnkg.data.queries import Queries
from gnnkg.encoders import NBFNet, Table
from gnnkg.graph import KnowledgeGraph
from gnnkg.losses import SelfAdversarial
from gnnkg.ops.matching import Gathered
from gnnkg.ops.partners import shares
from gnnkg.samplers import AllEntities, Uniform, WithPositives
from gnnkg.scorers import HAKE, MLP, ComplEx, DistMult, RotatE, TransE
from gnnkg.terms import Ranking
from gnnkg.transforms import EMU, DeMix
from gnnkg.transforms.demix import _quantiles
from gnnkg.transforms.pseudo_negatives import positives, pseudo_negatives
from tests.contracts import discovered
from tests.contracts.test_scorers import random_vectors
from tests.random_data import random_graph

every_scorer = pytest.mark.parametrize("make_scorer", discovered.scorers)

# A query with three known tails (its truth, columns 4 and 5) and one with its truth alone; columns 1, 2, 3 are negatives.
SCORES = torch.tensor([[5.0, 0.9, 3.5, 9.0, 1.0, 3.0, 7.0], [5.0, 4.0, 5.5, -3.0, 8.0, 8.0, 8.0]])
LABELS = Labels(
    torch.tensor([[1.0, 0, 0, 0, 1, 1, 0], [1.0, 0, 0, 0, 0, 0, 0]]),
    torch.tensor([[True, True, True, True, False, False, False]] * 2),
    torch.zeros(2, dtype=torch.int64),
    torch.ones(2),
)


def with_one_more(num_queries: int, num_columns: int) -> Labels:
    """The own tail in front, and another known tail behind."""
    value = torch.zeros(num_queries, num_columns)
    value[:, [0, -1]] = 1
    part = torch.ones_like(value, dtype=torch.bool)
    part[:, -1] = False
    return Labels(value, part, torch.zeros(num_queries, dtype=torch.int64), torch.ones(num_queries))


def asked(graph: KnowledgeGraph, num_negatives: int = 5, batch_size: int = 8) -> tuple[Batch, Candidates, Labels]:
    batch = next(iter(Queries(batch_size).of(graph, seed=0)))
    return batch, *WithPositives(Uniform(num_negatives, share="query", filtered=True), 4)(batch)


def test_known_tails_and_negatives_are_read_off_the_labels() -> None:
    assert positives(LABELS).nonzero().tolist() == [[0, 0], [0, 4], [0, 5], [1, 0]]
    assert LABELS.negatives.nonzero().tolist() == [[b, c] for b in (0, 1) for c in (1, 2, 3)]
    bare = Labels(LABELS.value[:, :4], None, LABELS.truth, LABELS.weight)
    assert positives(bare).nonzero().tolist() == [[0, 0], [1, 0]]
    assert bare.negatives.sum() == 6


@pytest.mark.parametrize(
    ("arguments", "flagged"),
    [
        # X = 5, 1, 3: minimum 1, mean 3; X = 5 alone. The scores of all: 5, 1, 3, 5, of standard deviation 1.658.
        ({"mu": 1.0, "delta": "additive"}, [[0, 1], [0, 2], [0, 3], [1, 1], [1, 2]]),
        ({"mu": 0.05, "delta": "additive"}, [[0, 2], [0, 3], [1, 2]]),
        ({"mu": 0.2, "delta": "relative"}, [[0, 2], [0, 3], [1, 2]]),  # slack 0.08 and 0.066
        ({"mu": 3.1, "delta": "relative"}, [[0, 1], [0, 2], [0, 3], [1, 1], [1, 2]]),  # 1.24 and 1.028
        ({"mu": 1.0, "delta": "additive", "upper": "mean"}, [[0, 1], [1, 1]]),
        ({"mu": -math.inf, "delta": "additive"}, []),
        ({"mu": -math.inf, "delta": "relative"}, []),
    ],
)
def test_which_negatives_are_suspicious(arguments: dict[str, Any], flagged: list[list[int]]) -> None:
    assert pseudo_negatives(SCORES, LABELS, **arguments).nonzero().tolist() == flagged


def mixed(demix: DeMix, scores: Tensor = SCORES) -> tuple[Tensor, Tensor, Labels]:
    """Partners, shares and labels, for candidates whose scores are given: scores are the vectors' only component."""
    scorer = DistMult(1)
    own, tail = scores[:, :1], scores[:, 1:].unsqueeze(2)
    ones = torch.ones(2, 1)
    vectors, labels = demix(scorer, Vectors(ones, ones, tail, own), LABELS)
    assert vectors.blend is not None
    return vectors.blend.second, vectors.blend.share, labels


def test_partners_and_labels() -> None:
    seen: dict[tuple[int, int], set[int]] = {}
    for seed in range(60):
        torch.manual_seed(seed)
        partner, share, labels = mixed(DeMix(mu=0.05, delta="additive"))
        assert labels.value.shape == (2, 4)  # known tails have served and go
        assert (share[:, 0] == 1).all()
        assert ((share >= 0.5) & (share <= 1)).all()
        suspicious = torch.tensor([[False, False, True, True], [False, False, True, False]])
        assert_close(labels.value[suspicious], 1 - share[suspicious])
        assert (labels.value[:, 1:][~suspicious[:, 1:]] == 0).all()
        for b in range(2):
            for c in range(1, 4):
                seen.setdefault((b, c), set()).add(int(partner[b, c]))
    assert seen[0, 2] == seen[0, 3] == {4, 5}  # the two lowest of three known tails
    assert seen[1, 2] == {0}  # its only known tail
    assert seen[0, 1] == {1}  # the only true negative of its query
    assert (seen[1, 1], seen[1, 3]) == ({3}, {1})  # each other


@pytest.mark.parametrize(("cap", "pool"), [("lowest", {4, 5}), ("below_mean", {4})])
def test_the_pool_of_partners(cap: Any, pool: set[int]) -> None:
    """Of known tails that score 9, 1 and 8, of mean 6."""
    scores = torch.tensor([[9.0, 0.9, 3.5, 9.0, 1.0, 8.0, 7.0], [5.0, 4.0, 5.5, -3.0, 8.0, 8.0, 8.0]])
    found: set[int] = set()
    for seed in range(30):
        torch.manual_seed(seed)
        found |= set(mixed(DeMix(delta="additive", mu=0.5, cap=cap), scores)[0][0, 1:].tolist())
    assert found == pool


@pytest.mark.parametrize(("coefficient", "mean"), [("symmetric", 0.5), ("pattern_first", 0.75), ("alpha_first", 0.25)])
def test_the_share_follows_its_distribution(coefficient: Any, mean: float) -> None:
    """Beta with alpha = 1 and three known tails, without the rule that keeps the larger part."""
    demix = DeMix(alpha=1.0, coefficient=coefficient, max_rule=False)
    shares = torch.cat([mixed(demix)[1][:1, 2:] for _ in range(800)])
    assert shares.mean().item() == pytest.approx(mean, abs=0.03)
    kept = DeMix(alpha=1.0, coefficient=coefficient)
    assert torch.cat([mixed(kept)[1][:1, 1:] for _ in range(50)]).min() >= 0.5


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0, 3.0])
def test_shares_are_drawn_from_the_beta_distribution(alpha: float) -> None:
    draw, quantiles = torch.rand(50, 400, dtype=torch.float64), _quantiles(alpha)
    drawn = shares(draw, quantiles, torch.ones_like(draw, dtype=torch.bool), larger=False)
    assert kstest(drawn.flatten().numpy(), beta(alpha, alpha).cdf).pvalue > 0.001


def test_alpha_0_mixes_nothing_and_annealing_ends_in_the_minimum() -> None:
    _, share, labels = mixed(DeMix(alpha=0.0))
    assert (share == 1).all()
    assert (labels.value[:, 1:] == 0).all()
    demix = DeMix(mu=1.0, delta="additive", anneal=4)
    flagged = []
    for epoch in (0, 2, 4, 9):
        demix.before_epoch(epoch)
        flagged.append(int(demix.suspects(SCORES, LABELS).sum()))
    assert flagged == [5, 4, 3, 3]  # slack 1, then .5, then none


def test_ablations() -> None:
    everything = mixed(DeMix(split="all"))[2].value[:, 1:]
    assert (everything > 0).all()
    assert (mixed(DeMix(split="none"))[2].value[:, 1:] == 0).all()
    _, share, labels = mixed(DeMix(mu=0.05, delta="additive", pseudo="masked", mix_true=False))
    assert (share == 1).all()
    assert labels.mask is not None
    assert labels.mask.tolist() == [[True, True, False, False], [True, True, False, True]]
    _, share, labels = mixed(DeMix(mu=0.05, delta="additive", pseudo="unchanged", mix_true=False))
    assert (share == 1).all()
    assert (labels.value[:, 1:] == 0).all()


@every_scorer
@pytest.mark.parametrize("off", ["warm-up", "infinite"])
def test_switched_off_it_is_the_sampler_alone(make_scorer: Callable[[], Scorer], off: str) -> None:
    """Loss and gradients bitwise: in the warm-up, and where nothing is suspicious and true negatives are left."""
    graph, scorer = random_graph(), make_scorer()
    model = Model(Table(graph, scorer.space, inverse="learned"), scorer)
    batch = next(iter(Queries(8).of(graph, seed=0)))
    if off == "warm-up":
        demix = DeMix(warm_up=2)
        demix.before_epoch(1)
    else:
        demix = DeMix(mu=-math.inf, mix_true=False)
    sampler = Uniform(5, share="query")

    def loss_and_gradient(objective: Objective) -> list[Tensor]:
        torch.manual_seed(3)
        loss = objective(model, batch)["plain"]
        return [loss.detach(), *torch.autograd.grad(loss, list(model.parameters()))]

    plain = loss_and_gradient(Objective(sampler, {"plain": Ranking(SelfAdversarial())}))
    with_demix = Ranking(SelfAdversarial(), transform=demix)
    again = loss_and_gradient(Objective(WithPositives(sampler, 3), {"plain": with_demix}))
    if off == "warm-up":
        assert all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    else:
        assert_close(again, plain)


@every_scorer
def test_scores_are_those_of_the_mixed_vectors(make_scorer: Callable[[], Scorer]) -> None:
    """Linear scorers mix scores, and agree with the definition on vectors; values and gradients."""
    scorer = make_scorer().double()
    vectors = random_vectors(scorer, 2, own=True)
    assert vectors.own is not None
    tail, own = vectors.tail.clone().requires_grad_(), vectors.own.clone().requires_grad_()
    labels = with_one_more(6, 1 + tail.shape[1])
    torch.manual_seed(0)
    blended, _ = DeMix(mu=3.0)(scorer, vectors.replace(candidates=tail, own=own), labels)
    blend = blended.blend
    assert blend is not None
    assert (blend.share[:, 1:] < 1).any()
    columns = torch.cat([own.unsqueeze(1), tail.repeat_interleave(3, 0)], 1)
    first, second = columns[:, blend.first], columns[torch.arange(6)[:, None], blend.second]
    period = scorer.space.phases
    if period is not None:
        half = second.shape[2] // 2
        way = second[..., :half] - first[..., :half]
        near = first[..., :half] + torch.remainder(way + period / 2, period) - period / 2
        second = torch.cat([near, second[..., half:]], 2)
    plain = blend.share.unsqueeze(2) * first + (1 - blend.share.unsqueeze(2)) * second
    expected = scorer(vectors.replace(own=plain[:, 0], candidates=plain[:, 1:]))
    scores = scorer(blended)
    assert_close(scores, expected)
    weight = torch.randn_like(scores)
    assert_close(
        torch.autograd.grad((weight * scores).sum(), [tail, own]),
        torch.autograd.grad((weight * expected).sum(), [tail, own]),
    )


@every_scorer
def test_rows_are_mixed_as_vectors_are(make_scorer: Callable[[], Scorer], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a table's rows, own tails among them: the same scores and gradients as of stored candidates."""
    scorer = make_scorer()
    given = random_vectors(scorer, 6, own=True, dtype=torch.float32)
    table = given.tail.flatten(0, 1).clone().requires_grad_()
    ids, own = torch.randint(len(table), (6, 4)), torch.randint(len(table), (6,))
    labels = with_one_more(6, 5)
    rows = given.replace(candidates=Gathered(table, ids), own=table[own], own_row=own)
    stored = given.replace(candidates=table[ids], own=table[own])
    weight, found = torch.randn(6, 4), []
    for vectors in (rows, stored):
        torch.manual_seed(0)
        blended, _ = DeMix(mu=3.0)(scorer, vectors, labels)
        assert blended.blend is not None
        assert (blended.blend.second == 0).any()  # an own tail is a partner
        if vectors is rows and isinstance(scorer, TransE | RotatE | HAKE):
            monkeypatch.setattr(Gathered, "read", lambda self: pytest.fail("stored"))
        scores = scorer(blended)
        found.append((scores, *torch.autograd.grad((weight * scores).sum(), table)))
        monkeypatch.undo()
    assert_close(found[0], found[1], rtol=1e-4, atol=1e-3)


def test_phases_are_mixed_on_the_circle() -> None:
    """Half way between 179 and -179 degrees are 180, not 0."""
    scorer = HAKE(1)
    period = scorer.space.phases
    assert period is not None
    degree = period / 360
    vectors = Vectors(
        torch.zeros(1, 2),
        torch.zeros(1, 3),
        torch.tensor([[[179 * degree, 2.0]]]),
        torch.tensor([[-179 * degree, 4.0]]),
    )
    blend = Blend(torch.tensor([0, 1]), torch.tensor([[0, 0]]), torch.tensor([[1.0, 0.5]]))
    phase, modulus = blend.of_vectors(vectors, scorer.space).tail[0, 0].tolist()
    assert abs(phase / degree) == pytest.approx(180, abs=1e-3)
    assert modulus == pytest.approx(3)


@pytest.mark.parametrize("make", [TransE, DistMult, ComplEx, RotatE, HAKE])
def test_a_partner_is_a_known_tail_of_the_query_or_another_true_negative(make: type[Scorer]) -> None:
    graph, scorer = random_graph(), make()
    model = Model(Table(graph, scorer.space, inverse="learned"), scorer)
    batch, candidates, labels = asked(graph)
    assert candidates.table is not None
    vectors = model.encoder(graph)(batch.head, batch.relation, candidates)
    ids = torch.cat([batch.tail.unsqueeze(1), candidates.table], 1)
    demix = DeMix()
    suspicious = demix.suspects(scorer(vectors).detach(), labels)
    blended, mended = demix(scorer, vectors, labels)
    assert blended.blend is not None
    met = 0
    for place, column in enumerate(blended.blend.first.tolist()):
        if column == 0:
            continue
        for b in range(len(batch.head)):
            other = int(blended.blend.second[b, place])
            known = bool(graph.known.holds(batch.head[b], batch.relation[b], ids[b, other]))
            if suspicious[b, column]:
                assert known
                assert 0 <= mended.value[b, place] <= 0.5  # a share next to 1 is rounded to 1, once in ten thousand
                met += int(mended.value[b, place] > 0)
            elif labels.negatives[b, column]:
                assert not known
                assert not suspicious[b, other]
                assert mended.value[b, place] == 0
    assert met > 0


def test_no_gradient_through_the_choice() -> None:
    """The shares and labels are constants, so scaling all scores by a parameter moves the loss by the mixed scores alone."""
    scorer = DistMult(1)
    scale = torch.ones(2, 1, requires_grad=True)
    ones = torch.ones(2, 1)
    torch.manual_seed(0)
    vectors, labels = DeMix()(scorer, Vectors(scale, ones, SCORES[:, 1:].unsqueeze(2), SCORES[:, :1]), LABELS)
    assert vectors.blend is not None
    assert not vectors.blend.share.requires_grad
    assert not labels.value.requires_grad


def test_false_negatives_are_found_by_a_trained_model() -> None:
    """Known facts hidden from training and planted among the negatives are flagged more often than others."""
    size = 24
    pairs = torch.cartesian_prod(torch.arange(size), torch.arange(size))
    block = pairs[(pairs[:, 0] % 4) == (pairs[:, 1] % 4)]  # every entity is related to all of its class
    facts = torch.stack([block[:, 0], torch.zeros(len(block), dtype=torch.int64), block[:, 1]], 1)
    facts = facts[torch.randperm(len(facts))]
    graph = KnowledgeGraph(facts[30:], size, 1)
    scorer = DistMult(8, gamma=0.0)
    model = Model(Table(graph, scorer.space, inverse="learned"), scorer)
    objective = Objective(Uniform(8, share="query"), {"plain": Ranking(SelfAdversarial())})
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for epoch in range(40):
        for batch in Queries(64).of(graph, seed=epoch):
            optimizer.zero_grad()
            objective(model, batch)["plain"].backward()
            optimizer.step()
    true = torch.zeros(size, size, dtype=torch.bool)
    true[facts[:, 0], facts[:, 2]] = True
    batch = next(iter(Queries(200, direction="tail").of(graph, seed=0)))
    with torch.no_grad():
        candidates, labels = WithPositives(Uniform(100, share="query", filtered=True), 8)(batch)
        flagged = DeMix().suspects(model(graph, batch.head, batch.relation, candidates), labels)[:, 1:]
    assert candidates.table is not None
    sampled, really = labels.negatives[:, 1:], true[batch.head[:, None], candidates.table]
    recall = flagged[sampled & really].float().mean()
    false_alarm = flagged[sampled & ~really].float().mean()
    assert recall > 0.3
    assert recall > 3 * false_alarm


def test_it_works_under_nbfnet() -> None:
    graph = random_graph()
    scorer = MLP(4, 5, reads_head=False)
    model = Model(NBFNet(graph, scorer.space, num_layers=2), scorer)
    batch = next(iter(Queries(8).of(graph, seed=0)))
    objective = Objective(
        WithPositives(Uniform(5, share="query"), 3), {"plain": Ranking(SelfAdversarial(), transform=DeMix())}
    )
    objective(model, batch)["plain"].backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_what_it_cannot_do_is_refused(graph: KnowledgeGraph) -> None:
    model = Model(Table(graph, DistMult(4).space), DistMult(4))
    batch = next(iter(Queries(6).of(graph, seed=0)))
    with pytest.raises(ValueError, match="1-vs-all"):
        Objective(AllEntities(), {"plain": Ranking(SelfAdversarial(), transform=DeMix())})(model, batch)
    candidates, labels = Uniform(5)(batch)
    vectors = model.encoder(graph)(batch.head, batch.relation, candidates)
    mutated = EMU(masks="query")(model.scorer, vectors, labels)
    with pytest.raises(ValueError, match="give each a term"):
        DeMix()(model.scorer, *mutated)
    for without in (DeMix(), DeMix(warm_up=2), DeMix(split="all"), DeMix(pseudo="masked")):
        with pytest.warns(UserWarning, match=r"the sampler brings none.*wrap it in WithPositives"):
            without(model.scorer, vectors, labels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DeMix(split="none")(model.scorer, vectors, labels)
    for wrong in (partial(DeMix, alpha=-1.0), partial(DeMix, warm_up=-1), partial(DeMix, anneal=0)):
        with pytest.raises(ValueError, match="at least"):
            wrong()


@pytest.mark.parametrize("make_scorer", [DistMult, ComplEx])
def test_scores_that_were_made_for_the_choice_serve_the_loss_until_a_vector_changes(
    make_scorer: Callable[..., Scorer],
) -> None:
    scorer = make_scorer(dim=4)
    scored = []
    scorer.register_forward_hook(lambda *_: scored.append(True))
    own, tail = (torch.randn(2, *size, scorer.space.entity_dim) for size in ((), (6,)))
    head, relation = torch.randn_like(own), torch.randn(2, scorer.space.relation_dim)
    head.requires_grad_()
    vectors, _ = DeMix()(scorer, Vectors(head, relation, tail, own), LABELS)
    found = scorer(vectors)
    assert len(scored) == 2  # once for the choice, and the mixture of those
    assert vectors.blend is not None
    anew = scorer(vectors.replace(blend=replace(vectors.blend, scores=None)))
    assert_close(found, anew)
    assert_close(torch.autograd.grad(found.sum(), head), torch.autograd.grad(anew.sum(), head))
    moved = vectors.replace(head=2 * head)
    assert moved.blend is not None
    assert moved.blend.scores is None
    assert_close(scorer(moved), 2 * anew)

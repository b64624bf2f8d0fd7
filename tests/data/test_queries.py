"""Which queries an epoch asks, against counts over the facts in plain Python."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gnnkg.core import Batch
from gnnkg.data.queries import EpochPlan, Queries, step_seed
from gnnkg.graph import KnowledgeGraph
from tests.random_data import random_graph

Triple = tuple[int, int, int]

EVERY_KIND = [
    Queries(7),
    Queries(7, direction="alternate"),
    Queries(7, direction="tail"),
    Queries(7, direction="bernoulli"),
    Queries(7, distinct=True),
    Queries(7, direction="tail", distinct=True),
    Queries(7, subsampling=True, drop_last=True),
]
every_kind = pytest.mark.parametrize("queries", EVERY_KIND, ids=str)


@st.composite
def graphs(draw: st.DrawFn) -> KnowledgeGraph:
    num_entities, num_relations = draw(st.integers(1, 6)), draw(st.integers(1, 3))
    fact = st.tuples(*(st.integers(0, limit - 1) for limit in (num_entities, num_relations, num_entities)))
    return KnowledgeGraph(torch.tensor(draw(st.lists(fact, min_size=1, max_size=25))), num_entities, num_relations)


def triples(batches: list[Batch]) -> list[Triple]:
    return [t for b in batches for t in zip(b.head.tolist(), b.relation.tolist(), b.tail.tolist(), strict=True)]


def forwards(graph: KnowledgeGraph) -> list[Triple]:
    return [tuple(row) for row in graph.facts.tolist()]


def backwards(graph: KnowledgeGraph) -> list[Triple]:
    return [(t, r + graph.num_relations, h) for h, r, t in graph.facts.tolist()]


def epoch(plan: EpochPlan, number: int) -> list[Batch]:
    return [plan[number * plan.steps_per_epoch + place] for place in range(plan.steps_per_epoch)]


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("head", "relation", "tail", "weight"))


@given(graphs(), st.sampled_from(["both", "alternate"]), st.integers(1, 9), st.integers(0, 3))
def test_every_fact_is_asked_once_each_way_an_epoch(
    graph: KnowledgeGraph, direction: Any, size: int, number: int
) -> None:
    plan = Queries(size, direction=direction).of(graph, seed=4)
    assert Counter(triples(epoch(plan, number))) == Counter(forwards(graph) + backwards(graph))


@given(graphs(), st.integers(1, 9))
def test_tail_queries_ask_every_fact_forwards(graph: KnowledgeGraph, size: int) -> None:
    plan = Queries(size, direction="tail").of(graph, seed=4)
    assert Counter(triples(epoch(plan, 1))) == Counter(forwards(graph))


@given(graphs(), st.integers(1, 9))
def test_alternate_batches_have_one_direction(graph: KnowledgeGraph, size: int) -> None:
    for place, batch in enumerate(epoch(Queries(size, direction="alternate").of(graph, seed=4), 0)):
        assert ((batch.relation >= graph.num_relations) == (place % 2 == 1)).all()


@given(graphs(), st.booleans(), st.integers(0, 2))
def test_distinct_queries(graph: KnowledgeGraph, tail_only: bool, number: int) -> None:
    """Each (head, relation) once, with a tail that is known for it."""
    known = forwards(graph) + ([] if tail_only else backwards(graph))
    asked = triples(
        epoch(Queries(4, direction="tail" if tail_only else "both", distinct=True).of(graph, seed=4), number)
    )
    assert Counter((h, r) for h, r, _ in asked) == Counter({(h, r) for h, r, _ in known})
    assert set(asked) <= set(known)


def test_distinct_queries_draw_their_tail_anew() -> None:
    """Over many epochs each tail of a query is asked about equally often."""
    graph, epochs = KnowledgeGraph(torch.tensor([[0, 0, 1], [0, 0, 2], [0, 0, 3], [1, 0, 2]]), 4, 1), 600
    plan = Queries(4, direction="tail", distinct=True).of(graph, seed=4)
    asked = Counter(t for number in range(epochs) for h, _, t in triples(epoch(plan, number)) if h == 0)
    assert set(asked) == {1, 2, 3}
    spread = math.sqrt(epochs * 2 / 9)
    assert all(abs(count - epochs / 3) < 4 * spread for count in asked.values())


@given(graphs(), st.integers(1, 9))
def test_bernoulli_asks_every_fact_once(graph: KnowledgeGraph, size: int) -> None:
    """In one direction or the other."""
    asked = triples(epoch(Queries(size, direction="bernoulli").of(graph, seed=4), 0))
    as_stated = [(t, r - graph.num_relations, h) if r >= graph.num_relations else (h, r, t) for h, r, t in asked]
    assert Counter(as_stated) == Counter(forwards(graph))


def test_bernoulli_asks_the_head_with_probability_tph_by_tph_and_hpt() -> None:
    graph, epochs = random_graph(num_entities=7, num_relations=3, num_facts=60), 400
    tails, heads = defaultdict(set), defaultdict(set)
    for h, r, t in forwards(graph):
        tails[h, r].add(t)
        heads[r, t].add(h)
    plan = Queries(60, direction="bernoulli").of(graph, seed=4)
    asked = Counter(r for number in range(epochs) for _, r, _ in triples(epoch(plan, number)))
    for relation in range(3):
        many_tails = [len(known) for (_, r), known in tails.items() if r == relation]
        many_heads = [len(known) for (r, _), known in heads.items() if r == relation]
        tph, hpt = sum(many_tails) / len(many_tails), sum(many_heads) / len(many_heads)
        expected, total = tph / (tph + hpt), asked[relation] + asked[relation + 3]
        assert abs(asked[relation + 3] / total - expected) < 4 * math.sqrt(expected * (1 - expected) / total)


def test_bernoulli_avoids_false_negatives() -> None:
    """One head, many tails: asking for the head finds fewer true answers among random entities, so it is asked more often."""
    graph = KnowledgeGraph(torch.tensor([[0, 0, tail] for tail in range(1, 10)]), 10, 1)
    plan = Queries(9, direction="bernoulli").of(graph, seed=4)
    asked = Counter(r for number in range(100) for _, r, _ in triples(epoch(plan, number)))
    assert asked[1] > 5 * asked[0]


@given(graphs())
def test_subsampling_weights(graph: KnowledgeGraph) -> None:
    """sqrt(1 / (count(h, r) + count(t, r^-1))), counts starting at 4, the same in both directions of a fact."""
    count = Counter((h, r) for h, r, _ in forwards(graph) + backwards(graph))
    for batch in epoch(Queries(5, subsampling=True).of(graph, seed=4), 0):
        for (h, r, t), weight in zip(triples([batch]), batch.weight.tolist(), strict=True):
            back = (r + graph.num_relations) % (2 * graph.num_relations)
            assert weight == pytest.approx((1 / (count[h, r] + 3 + count[t, back] + 3)) ** 0.5)


@every_kind
def test_a_step_does_not_depend_on_the_steps_before_it(queries: Queries, graph: KnowledgeGraph) -> None:
    in_turn = queries.of(graph, seed=4)
    steps = range(3 * in_turn.steps_per_epoch)
    expected = [in_turn[step] for step in steps]
    mixed = queries.of(graph, seed=4)
    for step in torch.randperm(len(steps)).tolist():
        assert same(mixed[step], expected[step])
        assert same(queries.of(graph, seed=4)[step], expected[step])


@every_kind
def test_epochs_and_seeds_differ(queries: Queries, graph: KnowledgeGraph) -> None:
    plan, other = queries.of(graph, seed=4), queries.of(graph, seed=5)
    first, second, elsewhere = triples(epoch(plan, 0)), triples(epoch(plan, 1)), triples(epoch(other, 0))
    assert first != second
    assert first != elsewhere
    assert first != forwards(graph)[: len(first)]


@every_kind
def test_the_order_does_not_follow_torch_global_seed(queries: Queries, graph: KnowledgeGraph) -> None:
    torch.manual_seed(1)
    one = epoch(queries.of(graph, seed=4), 0)
    torch.manual_seed(2)
    assert all(same(*pair) for pair in zip(one, epoch(queries.of(graph, seed=4), 0), strict=True))


def test_queries_are_shuffled(graph: KnowledgeGraph) -> None:
    """Both directions stand everywhere in an epoch, and a fact's place does not follow from its row."""
    asked = triples(epoch(Queries(10).of(graph, seed=4), 0))
    directions = [r >= graph.num_relations for _, r, _ in asked]
    assert all(3 < sum(directions[start : start + 30]) < 27 for start in range(0, 120, 30))
    place = {fact: where for where, fact in enumerate(asked)}
    rows, places = torch.arange(60.0), torch.tensor([float(place[fact]) for fact in forwards(graph)])
    assert torch.corrcoef(torch.stack([rows, places]))[0, 1].abs() < 0.5


@every_kind
def test_batch_sizes(queries: Queries, graph: KnowledgeGraph) -> None:
    sizes = [len(batch.head) for batch in epoch(queries.of(graph, seed=4), 0)]
    assert max(sizes) == queries.batch_size
    if queries.drop_last:
        assert set(sizes) == {queries.batch_size}
    elif queries.direction != "alternate":
        assert set(sizes[:-1]) == {queries.batch_size}


def test_a_batch_larger_than_the_graph_is_the_whole_graph(graph: KnowledgeGraph) -> None:
    plan = Queries(10_000, drop_last=True).of(graph, seed=4)
    assert plan.steps_per_epoch == 1
    assert len(plan[0].head) == 2 * len(graph.facts)


def test_iterating_gives_the_first_epoch(graph: KnowledgeGraph) -> None:
    plan = Queries(7).of(graph, seed=4)
    assert all(same(*pair) for pair in zip(plan, epoch(plan, 0), strict=True))


def test_weights_are_one_without_subsampling(graph: KnowledgeGraph) -> None:
    assert all((batch.weight == 1).all() for batch in Queries(7).of(graph, seed=4))


def test_seeds_of_steps_are_all_different() -> None:
    seeds = {step_seed(seed, step, rank) for seed in range(5) for step in range(500) for rank in range(4)}
    assert len(seeds) == 5 * 500 * 4
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "at least 1, not 0"),
        ({"distinct": True, "direction": "alternate"}, "not 'alternate'"),
        ({"distinct": True, "direction": "bernoulli"}, "not 'bernoulli'"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Queries(**arguments)


def test_a_graph_without_facts_is_refused() -> None:
    with pytest.raises(ValueError, match="no training facts"):
        Queries().of(KnowledgeGraph(torch.empty(0, 3, dtype=torch.int64), 3, 1), seed=0)

"""What every encoder promises, for the space of every scorer."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable

import pytest
import torch
from torch.testing import assert_close

from gnnkg.core import EVERY_ENTITY, Candidates, Encoder, Scorer, Vectors
from gnnkg.graph import KnowledgeGraph, Vocabulary
from tests.contracts import discovered
from tests.random_data import random_graph

MakeEncoder = Callable[..., Encoder]


def _accepted(make: MakeEncoder, make_scorer: Callable[[], Scorer]) -> bool:
    """Whether the encoder takes the scorer's space: an inverse cannot be tied where the scorer has none."""
    try:
        make(random_graph(), make_scorer().space)
    except ValueError:
        return False
    return True


PAIRS = [
    pytest.param(*encoder.values, *scorer.values, id=f"{encoder.id}-{scorer.id}")
    for scorer in {scorer.values[0].cls: scorer for scorer in discovered.scorers}.values()
    for encoder in discovered.encoders
    if _accepted(*encoder.values, *scorer.values)
]
"""every encoder for the space of every scorer class"""

every_encoder = pytest.mark.parametrize("make", discovered.encoders)
every_encoder_and_space = pytest.mark.parametrize(("make", "make_scorer"), PAIRS)


def queries(graph: KnowledgeGraph) -> tuple[torch.Tensor, torch.Tensor]:
    """Every relation, in both directions."""
    relation = torch.arange(2 * graph.num_relations)
    return relation % graph.num_entities, relation


def exactly(ours: Vectors, theirs: Vectors) -> None:
    for name in ("head", "relation", "tail", "own"):
        left, right = getattr(ours, name), getattr(theirs, name)
        assert (left is None) == (right is None)
        if left is not None:
            assert_close(left, right, rtol=0, atol=0)


@every_encoder_and_space
def test_no_table_is_every_entity(make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph) -> None:
    """``Candidates(table=None)`` equals a table of the ids 0..N-1."""
    space = make_scorer().space
    lookup = make(graph, space).eval()(graph)
    head, relation = queries(graph)
    ids = torch.arange(graph.num_entities)
    exactly(lookup(head, relation, EVERY_ENTITY), lookup(head, relation, Candidates(ids.unsqueeze(0))))
    tables, *rest = lookup(head, relation).tail.shape
    assert tables in (1, len(head)), "one table for all queries, or one for each"
    assert rest == [graph.num_entities, space.entity_dim]


@every_encoder_and_space
def test_own_is_the_row_of_the_table(
    make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph
) -> None:
    lookup = make(graph, make_scorer().space).eval()(graph)
    head, relation = queries(graph)
    own = torch.randint(graph.num_entities, head.shape)
    vectors = lookup(head, relation, Candidates(None, own))
    assert vectors.own is not None
    table = torch.arange(len(own)) % len(vectors.tail)
    assert_close(vectors.own, vectors.tail[table, own], rtol=0, atol=0)


@every_encoder_and_space
def test_another_number_of_entities(
    make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph
) -> None:
    """A graph of another size is refused, or encoded whole; its entities are never silently others."""
    larger = KnowledgeGraph(graph.facts, graph.num_entities + 1, graph.num_relations)
    encoder, vectors, refusal = make(graph, make_scorer().space), None, ""
    try:
        vectors = encoder(larger)(*queries(larger))
    except ValueError as error:
        refusal = str(error)
    if vectors is None:
        assert str(graph.num_entities) in refusal
        assert str(larger.num_entities) in refusal
    else:
        assert vectors.tail.shape[1] == larger.num_entities


@every_encoder_and_space
def test_other_names(make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph) -> None:
    """Another graph of the same size: one of other relations is refused, one of other entities too unless it is inductive."""
    entities = tuple(f"e{i}" for i in range(graph.num_entities))
    relations = tuple(f"r{i}" for i in range(graph.num_relations))
    known = graph.named(Vocabulary(entities, relations))
    encoder = make(known, make_scorer().space)
    encoder(known)(*queries(known))
    again = tuple(f"e{i}" for i in range(graph.num_entities))
    encoder(known.named(Vocabulary(again, relations)))  # equal names, read anew
    hint = "does it give its graph to super().__init__()?"
    assert refuses(encoder, known.named(Vocabulary(entities, relations[::-1]))), hint
    assert refuses(encoder, known.named(Vocabulary(entities[::-1], relations))) != encoder.inductive, hint


def refuses(encoder: Encoder, graph: KnowledgeGraph) -> bool:
    try:
        encoder(graph)
    except ValueError as error:
        return type(encoder).__name__ in str(error)
    return False


@every_encoder_and_space
def test_from_head(make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph) -> None:
    """What passes messages from the head gives other vectors to entities when another head is asked about; others do not."""
    encoder = make(graph, make_scorer().space).eval()
    one, another = (encoder(graph)(torch.tensor([head]), torch.tensor([0])).tail for head in (1, 2))
    assert torch.equal(one, another) != encoder.from_head


@every_encoder_and_space
def test_removed_facts_are_gone(make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph) -> None:
    """A graph less some facts is encoded as one that never had them, also by an encoder that has seen the whole."""
    encoder = make(graph, make_scorer().space).eval()
    fresh = copy.deepcopy(encoder)
    gone, kept = graph.facts[:7], graph.facts[7:]
    rebuilt = KnowledgeGraph(kept, graph.num_entities, graph.num_relations)
    head, relation = queries(graph)
    encoder(graph)(head, relation)
    exactly(encoder(graph.without(*gone.unbind(1)))(head, relation), fresh(rebuilt)(head, relation))


@every_encoder_and_space
def test_dropout_in_training_only(make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph) -> None:
    names = [name for name in inspect.signature(make.cls).parameters if "dropout" in name]
    head, relation = queries(graph)
    candidates = Candidates(torch.arange(graph.num_entities).unsqueeze(0), head)

    def encoder(rate: float) -> Encoder:
        torch.manual_seed(1)
        return make(graph, make_scorer().space, **dict.fromkeys(names, rate))

    dropping, plain = encoder(0.5), encoder(0.0)
    if names:
        first, second = dropping.train()(graph)(head, relation, candidates), dropping(graph)(head, relation, candidates)
        relation_too = ("relation",) if any("relation" in name for name in names) else ()
        for name in ("head", "tail", "own", *relation_too):
            assert not torch.equal(getattr(first, name), getattr(second, name)), f"dropout should reach {name}"
    dropping.load_state_dict(plain.state_dict())  # a batch norm has counted the batches above
    lookup = dropping.eval()(graph)
    exactly(lookup(head, relation, candidates), lookup(head, relation, candidates))
    exactly(lookup(head, relation, candidates), plain.eval()(graph)(head, relation, candidates))


@every_encoder_and_space
def test_every_parameter_learns(make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph) -> None:
    encoder = make(graph, make_scorer().space)
    vectors = encoder(graph)(*queries(graph))
    (vectors.head.square().sum() + vectors.relation.square().sum() + vectors.tail.square().sum()).backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@every_encoder_and_space
def test_initial_values(make: MakeEncoder, make_scorer: Callable[[], Scorer], graph: KnowledgeGraph) -> None:
    """The same seed, the same parameters, all finite."""
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(make(graph, make_scorer().space).state_dict())
    assert_close(states[0], states[1], rtol=0, atol=0)
    assert all(value.isfinite().all() for value in states[0].values())

"""SNAG as an encoder: what it reads, what it fuses, and how training goes on; its parts have tests of their own."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.testing import assert_close

from gnnkg.annotations import Annotations, Feature
from gnnkg.core import EVERY_ENTITY, Batch, Candidates, Model, Objective
from gnnkg.data.dataset import Dataset
from gnnkg.data.queries import Queries
from gnnkg.encoders import RGCN, SNAG, DiagonalGAT, GaussModalityNoise, NBFNet, Sampled, Table
from gnnkg.encoders import snag as module
from gnnkg.features import Given, Numbers, RelationBag
from gnnkg.losses import CrossEntropy, SelfAdversarial
from gnnkg.run import RunDirectory
from gnnkg.samplers import AllEntities, Uniform
from gnnkg.scorers import ComplEx, DistMult, RotatE
from gnnkg.terms import N3, Ranking
from gnnkg.train import fit
from tests.random_data import random_dataset

MODALITIES = {"numbers": Numbers(), "relations": RelationBag()}
SPACE = ComplEx(4).space


def snag(dataset: Dataset, modalities: Any = None, **settings: Any) -> SNAG:
    return SNAG(dataset.graph, SPACE, modalities or MODALITIES, **settings)


def table_of(encoder: SNAG, dataset: Dataset) -> torch.Tensor:
    zero = torch.zeros(1, dtype=torch.int64)
    return encoder(dataset.graph)(zero, zero, EVERY_ENTITY).tail[0]


READ_OUTS = ["graph", "mean", "weight", "attention", "learnable", "concat", "residual"]


@pytest.mark.parametrize("read_out", READ_OUTS)
@pytest.mark.parametrize("switches", [{}, {"relation_gate": True, "mask_unseen": True}, {"graph_projection": True}])
def test_fusing_some_entities_is_fusing_all_and_taking_some(dataset, read_out, switches):
    encoder = snag(
        dataset, read_out=read_out, dropout=0.0, fusion_layers=2, hidden_dim=3, views=True, **switches
    ).double()
    head, relation, own = torch.tensor([5, 0, 5]), torch.tensor([0, 5, 2]), torch.tensor([2, 12, 2])
    candidates = Candidates(torch.tensor([[2, 5, 5, 11]]), own)
    some = encoder.train()(dataset.graph)(head, relation, candidates)
    whole = encoder.eval()(dataset.graph)(head, relation, candidates)
    for ours, theirs in ((some, whole), *((some.views[name], whole.views[name]) for name in encoder.names)):
        for part in ("head", "relation", "tail", "own"):
            assert_close(getattr(ours, part), getattr(theirs, part))
    assert set(some.views) == {"structure", "numbers", "relations"}


def test_modality_dropout_takes_rows_away_in_training_alone(dataset):
    encoder, all_of_them = snag(dataset, modality_dropout=0.5), snag(dataset)
    tokens, has = encoder.eval()(dataset.graph).tokens(None)
    assert has.equal(all_of_them(dataset.graph).tokens(None)[1])
    lookup = encoder.train()(dataset.graph)
    draws = torch.stack([lookup.tokens(None)[1] for _ in range(200)])
    assert draws[:, :, 0].all(), "structure stays"
    assert not draws[:, ~has].any()
    assert abs(draws[:, :, 1:][:, has[:, 1:]].float().mean() - 0.5) < 0.05
    few, there = lookup.tokens(None)
    assert_close(few[there], tokens[there])
    assert (few[~there] == 0).all()


def test_each_entity_of_a_batch_is_fused_once(dataset, monkeypatch):
    encoder, seen = snag(dataset).train(), []
    forward = encoder.fusion.forward
    monkeypatch.setattr(
        encoder.fusion, "forward", lambda tokens, has: (seen.append(len(tokens)), forward(tokens, has))[1]
    )
    lookup = encoder(dataset.graph)
    lookup(
        torch.tensor([1, 1, 4]), torch.tensor([0, 1, 2]), Candidates(torch.tensor([[4, 7, 7]]), torch.tensor([1, 4, 4]))
    )
    encoder.eval()
    lookup = encoder(dataset.graph)
    for _ in range(3):
        lookup(torch.tensor([1]), torch.tensor([0]))
    assert seen == [3, dataset.graph.num_entities]


def test_evaluation_in_pieces_gives_the_same(dataset, monkeypatch):
    encoder = snag(dataset, relation_gate=True).eval()
    with torch.no_grad():
        whole = table_of(encoder, dataset)
        monkeypatch.setattr(module, "ROWS_AT_ONCE", 5)
        assert_close(table_of(encoder, dataset), whole)


@pytest.mark.parametrize("read_out", READ_OUTS)
def test_what_stands_in_missing_rows_has_no_influence(dataset, read_out):
    """Also where a modality is missing for every entity but one, and where its missing rows hold NaN."""
    has = torch.zeros(13, 2, dtype=torch.bool)
    has[4, 0] = True
    found = []
    for rest in (0.0, 1e6, torch.nan):
        torch.manual_seed(1)
        values = torch.full((13, 2), rest)
        values[4] = torch.tensor([1.0, 2.0])
        other = replace(dataset, features={"own": Feature(values, has, ("a", "b"))})
        encoder = snag(other, {"own": Given("own")}, read_out=read_out, noise=GaussModalityNoise(1.0, 0.5), dropout=0.0)
        vectors = [table_of(encoder.train(), other), table_of(encoder.eval(), other)]
        (vectors[0].sum() + vectors[1].square().sum()).backward()
        found.append([*vectors, *(p.grad for p in encoder.parameters() if p.grad is not None)])
    assert all(torch.isfinite(value).all() for value in found[0])
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


def test_missing_rows_may_be_filled_as_published():
    dataset = random_dataset(num_entities=2000, num_facts=100)
    values, has = torch.randn(2000, 1) + 5, torch.rand(2000, 1) < 0.5
    dataset = replace(dataset, features={"own": Feature(values * has, has, ("a",))})
    (modality,) = snag(dataset, {"own": Given("own")}, missing="filled").modalities
    assert modality.has.all()
    assert_close(modality.values[has[:, 0]], values[has[:, 0]])
    drawn = modality.values[~has[:, 0]]
    assert abs(float(drawn.mean()) - 5) < 0.1
    assert abs(float(drawn.std()) - 1) < 0.1


def test_entities_that_no_fact_names_may_be_read_without_structure(dataset):
    facts = dataset.graph.facts
    lonely = replace(dataset, graph=type(dataset.graph)(facts[(facts[:, [0, 2]] != 3).all(1)], 13, 3))
    has = (torch.arange(13) != 5).unsqueeze(1)
    lonely = replace(lonely, features={"own": Feature(torch.ones(13, 1), has, ("a",))})
    encoder = snag(lonely, {"own": Given("own")}, mask_unseen=True, read_out="mean").eval()
    before = table_of(encoder, lonely).detach()
    with torch.no_grad():
        encoder.structure.entity += 1.0
    changed = (table_of(encoder, lonely) != before).any(1)
    assert not changed[3]
    assert changed.sum() == 12
    confidence = encoder.confidence(lonely.graph)
    assert confidence[3].tolist() == [0.0, 1.0]
    assert confidence[5].tolist() == [1.0, 0.0]


def test_entities_of_one_and_the_same_modalities_differ_by_them_alone(dataset):
    """Permuting entities permutes vectors: an entity's vector depends on nothing but its own rows."""
    order = torch.randperm(13)
    encoder = snag(dataset, read_out="mean").eval()
    before = table_of(encoder, dataset)
    with torch.no_grad():
        encoder.structure.entity.copy_(encoder.structure.entity[order])
        for modality in encoder.modalities:
            modality.values, modality.has = modality.values[order], modality.has[order]
    assert_close(table_of(encoder, dataset), before[order])


def test_the_relation_says_which_modalities_of_the_head_count(dataset):
    encoder = snag(dataset, read_out="mean", relation_gate=True).eval()
    head = torch.tensor([4, 4])
    plain = encoder(dataset.graph)(head, torch.tensor([0, 1]))
    assert_close(plain.head[0], plain.head[1], rtol=0, atol=0)
    assert encoder.gate is not None
    torch.nn.init.normal_(encoder.gate.gate.weight)
    gated = encoder(dataset.graph)(head, torch.tensor([0, 1]))
    assert not torch.allclose(gated.head[0], gated.head[1])
    assert_close(gated.tail, plain.tail, rtol=0, atol=0)
    rows = encoder(dataset.graph).whole
    share = encoder.gate.gate(gated.relation[1]).tanh() * rows.has[4]
    assert_close(gated.head[1], rows.fused.vectors[4] + share @ rows.fused.hidden[4])


@pytest.mark.parametrize("refresh", ["epoch", "step"])
def test_noise_is_for_training(dataset, refresh):
    settings = {"dropout": 0.0, "noise": GaussModalityNoise(1.0, 1.0, refresh)}
    encoder = snag(dataset, **settings)
    noised, clean = table_of(encoder.train(), dataset), table_of(encoder.eval(), dataset)
    assert not torch.allclose(noised, clean)
    encoder.structure_noise = None
    for modality in encoder.modalities:
        modality.noise = None
    assert_close(table_of(encoder.train(), dataset), clean)


def test_some_modalities_stay_clean(dataset):
    def noised(*clean: str, **settings: bool) -> list[bool]:
        noise = GaussModalityNoise(1.0, 1.0, clean=clean, **settings)
        encoder = snag(dataset, noise=noise)
        train = encoder.train()(dataset.graph).tokens(None)[0]
        evaluate = encoder.eval()(dataset.graph).tokens(None)[0]
        return [not torch.equal(train[:, i], evaluate[:, i]) for i in range(3)]

    assert noised() == [True, True, True]
    assert noised("numbers") == [True, False, True]
    assert noised("structure", "relations") == [False, True, False]
    assert noised("structure", before_messages=True) == [False, True, True]
    with pytest.raises(ValueError, match=r"noise.clean names number, and the modalities are structure, numbers, relat"):
        noised("number")


def test_structure_under_noise_learns_by_what_is_left_of_it(dataset):
    encoder = snag(dataset, noise=GaussModalityNoise(1.0, 1.0, structure_scale=0.0)).train()
    table_of(encoder, dataset).sum().backward()
    assert (encoder.structure.entity.grad != 0).any()
    encoder = snag(dataset, noise=GaussModalityNoise(1.0, 1.0)).train()
    table_of(encoder, dataset).sum().backward()
    assert (encoder.structure.entity.grad == 0).all(), "mean and deviation of the table carry no gradient"


def test_noise_before_messages_is_on_the_free_vectors(dataset):
    """By an oracle: the encoder's own message passing over the table with noise in it, mean and deviation of the table."""
    noise = GaussModalityNoise(0.8, 0.5, structure_scale=0.5, before_messages=True)
    encoder = snag(dataset, structure=DiagonalGAT, noise=noise, dropout=0.0, read_out="graph").train()
    for modality in encoder.modalities:
        modality.noise = None
    assert encoder.structure_noise is None
    noised = table_of(encoder, dataset)
    table = encoder.structure.table
    assert table.noise.settings == GaussModalityNoise(0.4, 0.25)
    rows = table.noise(table.entity.detach(), None)
    assert_close(table.noise.std, table.entity.detach().std(0))
    assert 0 < (rows != table.entity).any(1).sum() < 13
    table.noise = None
    with torch.no_grad():
        table.entity.copy_(rows)
    assert_close(table_of(encoder, dataset), noised)


def test_noise_before_messages_lets_through_what_is_left_of_the_row(dataset):
    encoder = snag(dataset, noise=GaussModalityNoise(0.5, 0.75, before_messages=True)).train()
    rows = encoder.structure.rows(dataset.graph)
    changed = (rows != encoder.structure.entity).any(1, keepdim=True)
    rows.sum().backward()
    assert 0 < changed.sum() < 13
    assert_close(encoder.structure.entity.grad, torch.where(changed, 0.25, 1.0).expand(rows.shape))
    assert torch.equal(encoder.eval().structure.rows(dataset.graph), encoder.structure.entity)


def test_noise_before_messages_needs_free_vectors(dataset):
    def two(graph, space):
        encoder = Table(graph, space)
        encoder.other = Table(graph, space)
        return encoder

    with pytest.raises(ValueError, match="Table has 2 tables of them"):
        snag(dataset, structure=two, noise=GaussModalityNoise(before_messages=True))


class Interrupted(Exception):
    pass


@pytest.mark.parametrize(("refresh", "stop"), [("epoch", 2), ("step", 5)])
def test_a_run_that_was_stopped_goes_on_bitwise(tmp_path: Path, dataset, refresh, stop):
    """2: in the middle of an epoch of 4 steps; 5: in the second."""

    def train(path: Path, at_most: int | None) -> Model:
        torch.manual_seed(2)
        scorer = RotatE(4)
        noise = GaussModalityNoise(0.5, 0.7, refresh)
        model = Model(SNAG(dataset.graph, scorer.space, MODALITIES, noise=noise), scorer)
        objective = Objective(Uniform(5), {"loss": Ranking(SelfAdversarial())})
        found = RunDirectory.open(path) if path.exists() else RunDirectory.create(path, {}, dataset)
        done = 0

        def counted() -> dict[str, float]:
            nonlocal done
            done += 1
            if done == at_most:
                raise Interrupted
            return {}

        fit(
            model,
            objective,
            dataset,
            optimizer=partial(torch.optim.Adam, lr=0.01),
            queries=Queries(31, direction="both"),
            steps=7,
            validate_every=1,
            run=found,
            measure=counted,
            accelerator="cpu",
            progress=False,
        )
        return model

    whole = train(tmp_path / "whole", None)
    with pytest.raises(Interrupted):
        train(tmp_path / "stopped", stop + 1)
    again = train(tmp_path / "stopped", None)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    ours, theirs = (RunDirectory.open(tmp_path / name).metrics for name in ("whole", "stopped"))
    assert ours["loss/loss"].tolist() == theirs["loss/loss"].tolist()


@pytest.mark.parametrize("structure", [partial(RGCN, num_layers=1), Table], ids=["RGCN", "Table"])
def test_the_structure_may_come_from_messages_and_from_parts_of_the_graph(dataset, structure):
    encoder = SNAG(dataset.graph, SPACE, MODALITIES, structure=structure, noise=GaussModalityNoise())
    assert encoder.num_layers == (1 if isinstance(structure, partial) else 0)
    scorer = ComplEx(4)
    objective = Objective(AllEntities(), {"loss": Ranking(CrossEntropy()), "n3": N3(0.01)})
    wrapped = (
        [encoder] if structure is Table else [encoder, Sampled(dataset.graph, SPACE, lambda *_: encoder, fanout=100)]
    )
    for each in wrapped:
        model = Model(each, scorer)
        model.before_epoch(1)
        batch = Batch(dataset.graph, *dataset.graph.facts[:6].unbind(1), torch.ones(6))
        losses = objective(model, batch)
        torch.stack(list(losses.values())).sum().backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_sampling_everything_around_a_query_changes_nothing(dataset):
    """R-GCN's means are exact where no edge is left out; features are found by the ids of the whole graph."""
    encoder = SNAG(dataset.graph, SPACE, MODALITIES, structure=partial(RGCN, num_layers=1), dropout=0.0)
    sampled = Sampled(dataset.graph, SPACE, lambda *_: encoder, fanout=1000).train()
    asked = torch.tensor([3, 8]), torch.tensor([0, 4]), Candidates(torch.tensor([[1, 9]]), torch.tensor([2, 11]))
    ours, theirs = sampled(dataset.graph)(*asked), encoder(dataset.graph)(*asked)
    for part in ("head", "tail", "own"):
        assert_close(getattr(ours, part), getattr(theirs, part))


def test_names_and_numbers_find_what_structure_cannot():
    """Entities that training never saw: their answer follows from a number that they have."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(4, (120,), generator=generator)
    facts = torch.stack([torch.arange(120), torch.zeros(120, dtype=torch.int64), 120 + kind], 1)
    values = torch.nn.functional.one_hot(torch.cat([kind, torch.full((4,), 4)])).float()
    feature = Feature(values, torch.ones_like(values, dtype=torch.bool), tuple("abcde"))
    dataset = Dataset(
        "planted",
        type(random_dataset().graph)(facts[:90], 124, 1),
        valid=facts[90:100],
        test=facts[100:],
        entities=tuple(map(str, range(124))),
        relations=("r",),
        features={"kind": feature},
    )
    scorer = DistMult(8)
    model = Model(SNAG(dataset.graph, scorer.space, {"kind": Given("kind")}, read_out="mean", mask_unseen=True), scorer)
    objective = Objective(AllEntities(), {"loss": Ranking(CrossEntropy())})
    settings: dict[str, Any] = {
        "optimizer": partial(torch.optim.Adam, lr=0.02),
        "accelerator": "cpu",
        "progress": False,
    }
    fit(model, objective, dataset, queries=Queries(90, direction="tail"), steps=60, validate_every=60, **settings)
    best = model(dataset.graph, *dataset.test[:, :2].unbind(1)).argmax(1)
    assert (best == dataset.test[:, 2]).all()


def test_what_cannot_be_fused_is_refused(dataset):
    with pytest.raises(ValueError, match="at least one other modality"):
        SNAG(dataset.graph, SPACE, {})
    with pytest.raises(ValueError, match="at least one other modality"):
        SNAG(dataset.graph, SPACE, {"structure": RelationBag()})
    with pytest.raises(ValueError, match="NBFNet computes the vectors of entities anew for each query"):
        snag(dataset, structure=partial(NBFNet, num_layers=1))
    with pytest.raises(ValueError, match=r"modality_dropout in \[0, 1\), not 1 and 1"):
        snag(dataset, modality_dropout=1)
    with pytest.raises(ValueError, match="projections must be at least 1 and"):
        snag(dataset, projections=0)
    with pytest.raises(ValueError, match="this graph tells nothing about its entities besides facts"):
        SNAG(dataset.graph.annotated(None), SPACE, {"numbers": Numbers()})
    with pytest.raises(ValueError, match=r"there is no feature 'height' in this data set; it has flag, numeric"):
        snag(dataset, {"numbers": Numbers("height")})
    unknown = dataset.graph.annotated(Annotations(dataset.entity_labels))
    with pytest.raises(ValueError, match="it has none"):
        SNAG(unknown, SPACE, {"numbers": Numbers()})


@pytest.mark.parametrize("missing", ["masked", "filled"])
def test_a_run_keeps_computed_tables_and_of_given_ones_what_tells_them_from_others(dataset, missing, tmp_path):
    modalities = {"flag": Given("flag"), "numbers": Numbers()}

    def model_of(dataset: Dataset) -> Model:
        torch.manual_seed(1)
        return Model(snag(dataset, modalities, missing=missing), ComplEx(4)).eval()

    model, run = model_of(dataset), RunDirectory.create(tmp_path / "run", {}, dataset)
    with torch.no_grad():
        model.encoder.structure.entity.normal_()
    run.save_weights(model)
    kept = {name for name in model.state_dict() if "modalities" in name and "projection" not in name}
    assert kept == {f"encoder.modalities.{name}" for name in ("0.sha256", "1.values", "1.has")}
    again = model_of(dataset)
    run.load_weights(again)
    assert torch.equal(table_of(again.encoder, dataset), table_of(model.encoder, dataset))
    flag = dataset.features["flag"]
    for values, present in ((flag.values + flag.present, flag.present), (flag.values, ~flag.present)):
        changed = replace(dataset, features={**dataset.features, "flag": Feature(values, present, flag.names)})
        with pytest.raises(ValueError, match="feature 'flag' of this data set is not the one"):
            run.load_weights(model_of(changed))

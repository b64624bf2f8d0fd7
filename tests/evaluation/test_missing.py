"""Modalities that go missing after training."""

from __future__ import annotations

import pytest
import torch

from gnnkg.core import EVERY_ENTITY, Model
from gnnkg.data.dataset import Dataset
from gnnkg.encoders import SNAG, Table
from gnnkg.evaluation import evaluate
from gnnkg.evaluation.missing import missing_modalities, modalities_dropped
from gnnkg.features import Numbers, RelationBag
from gnnkg.scorers import DistMult
from tests.random_data import random_dataset


def model_of(dataset: Dataset, **settings) -> Model:
    scorer = DistMult(4)
    modalities = {"numbers": Numbers(), "relations": RelationBag()}
    return Model(SNAG(dataset.graph, scorer.space, modalities, **settings), scorer).eval()


def present(model: Model) -> list[torch.Tensor]:
    assert isinstance(model.encoder, SNAG)
    return [modality.has.clone() for modality in model.encoder.modalities]  # type: ignore[union-attr]


def test_a_share_of_the_rows_is_gone_for_a_while():
    dataset = random_dataset(num_entities=500, num_facts=2000)
    model = model_of(dataset)
    whole = present(model)
    with modalities_dropped(model, 0.3):
        some = present(model)
    with modalities_dropped(model, 0.6):
        more = present(model)
    assert all(torch.equal(before, after) for before, after in zip(whole, present(model), strict=True))
    for before, less, least in zip(whole, some, more, strict=True):
        assert abs(float(less.sum() / before.sum()) - 0.7) < 0.06
        assert abs(float(least.sum() / before.sum()) - 0.4) < 0.06
        assert not (least & ~less).any()
        assert not (less & ~before).any()
    assert not torch.equal(some[0] == whole[0], some[1] == whole[1]), "drawn for each modality apart"


def test_one_modality_may_go_alone(dataset):
    model = model_of(dataset)
    numbers, relations = present(model)
    with modalities_dropped(model, 1.0, names=["numbers"]):
        assert not present(model)[0].any()
        assert torch.equal(present(model)[1], relations)
    assert torch.equal(present(model)[0], numbers)


def test_where_all_are_gone_structure_is_all_that_is_read(dataset):
    model = model_of(dataset, read_out="mean")
    zero = torch.zeros(1, dtype=torch.int64)

    def table() -> torch.Tensor:
        return model.encoder(dataset.graph)(zero, zero, EVERY_ENTITY).tail[0]

    with modalities_dropped(model, 1.0):
        before = table()
        for modality in model.encoder.modalities:  # type: ignore[union-attr]
            torch.nn.init.normal_(modality.projection[0].weight)
        assert torch.equal(table(), before)
        assert model.encoder.confidence(dataset.graph)[:, 1:].sum() == 0  # type: ignore[operator]


def test_filled_rows_look_like_those_that_are_left():
    dataset = random_dataset(num_entities=2000, num_facts=8000)
    model = model_of(dataset, missing="filled")
    (numbers, _) = model.encoder.modalities  # type: ignore[misc]
    before = numbers.values.clone()
    with modalities_dropped(model, 0.5):
        assert numbers.has.all()
        changed = (numbers.values != before).all(1)
        assert abs(float(changed.float().mean()) - 0.5) < 0.05
        assert (numbers.values[changed].std(0) - before.std(0)).abs().max() < 0.15
    assert torch.equal(numbers.values, before)


def test_the_curve_begins_with_the_plain_evaluation(dataset):
    model = model_of(dataset)
    curve = missing_modalities(model, dataset, "valid", shares=(0.0, 1.0))
    assert curve["share"].tolist() == [0.0, 1.0]
    assert curve["mrr"][0] == evaluate(model, dataset, "valid").metrics["mrr"]
    assert curve["mrr"][1] != curve["mrr"][0]


def test_what_is_not_there_cannot_go(dataset):
    scorer = DistMult(4)
    plain = Model(Table(dataset.graph, scorer.space), scorer)
    with pytest.raises(ValueError, match="it has none"), modalities_dropped(plain, 0.5):
        pass
    with pytest.raises(ValueError, match="has not the modality image; it has numbers, relations"):
        missing_modalities(model_of(dataset), dataset, names=["image"])
    with pytest.raises(ValueError, match=r"a share lies in \[0, 1\], not 1.5"):
        missing_modalities(model_of(dataset), dataset, shares=[1.5])

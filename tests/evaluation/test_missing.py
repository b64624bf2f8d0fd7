"""Modalities that go missing after training."""

from __future__ import annotations

import json

import pytest
import torch

from gnnkg.core import EVERY_ENTITY, Model
from gnnkg.data.dataset import Dataset
from gnnkg.encoders import SNAG, Table
from gnnkg.evaluation import evaluate
from gnnkg.evaluation.missing import MissingTest, draw, missing_test, modalities_dropped, num_rankings
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
        assert less.sum() == before.sum() - round(0.3 * int(before.sum()))
        assert least.sum() == before.sum() - round(0.6 * int(before.sum()))
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


def test_filling_one_modality_does_not_choose_which_rows_of_another_go():
    dataset = random_dataset(num_entities=60, num_facts=200)
    gone = {}
    for missing in ("masked", "filled"):
        scorer = DistMult(4)
        modalities = {"a": Numbers("numeric"), "b": Numbers("flag")}
        model = Model(SNAG(dataset.graph, scorer.space, modalities, missing=missing), scorer).eval()
        _, b = model.encoder.modalities
        values, has = b.values.clone(), b.has.clone()
        for names in (None, ["b"]):
            with modalities_dropped(model, 0.5, names=names):
                changed = (b.values != values).any(1) if missing == "filled" else has & ~b.has
                gone[missing, names is None] = changed.nonzero().flatten().tolist()
    first = gone["masked", True]
    assert len(first) > 5
    assert all(each == first for each in gone.values())


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
        assert changed.sum() == round(0.5 * int(numbers.present.sum()))
        assert not changed[~numbers.present].any(), "what was filled before stays"
        assert (numbers.values[changed].std(0) - before.std(0)).abs().max() < 0.15
        first = numbers.values.clone()
    assert torch.equal(numbers.values, before)
    with modalities_dropped(model, 0.5):
        assert torch.equal(numbers.values, first), "the seed says what is drawn"


def test_the_curve_begins_with_the_plain_evaluation_and_ends_without_the_modality(dataset):
    model, steps = model_of(dataset), []
    found = missing_test(model, dataset, shares=(0.0, 0.5, 1.0), seeds=2, step=lambda: steps.append(1))
    assert len(steps) == num_rankings(model, (0.0, 0.5, 1.0), 2) == 3 * 2 * 2 + 1
    assert list(found.values) == ["all", "numbers", "relations"]
    clean = evaluate(model, dataset, bootstrap=0)
    for name, curve in found.values.items():
        assert list(curve) == ["0", "0.5", "1"]
        whole = {metric: values for metric, (values,) in curve["0"].items() if "/" not in metric}
        assert whole == clean.metrics
        with modalities_dropped(model, 1.0, names=None if name == "all" else [name]):
            bare = evaluate(model, dataset, bootstrap=0).metrics["mrr"]
        assert curve["1"]["mrr"] == (bare, bare), "nothing is left to draw"
    assert found.values["all"]["1"] != found.values["numbers"]["1"]
    assert MissingTest.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_facts_with_unseen_entities_are_told_apart():
    dataset = random_dataset(num_entities=40, num_facts=60)
    model = model_of(dataset)
    found = missing_test(model, dataset, shares=(0.0, 0.5), seeds=2)
    entities = evaluate(model, dataset, bootstrap=0).entities
    unseen = dataset.graph.holds_unseen(dataset.test)
    assert 0 < found.num_unseen == int(unseen.sum()) < len(dataset.test)
    by_hand = missing_test(model, dataset, facts=dataset.test[unseen], shares=(0.0, 0.5), seeds=2)
    for name, curve in found.values.items():
        for share, row in curve.items():
            assert row["unseen/mrr"] == pytest.approx(by_hand.values[name][share]["mrr"])
    assert found.values["all"]["0"]["unseen/hits@10"] == pytest.approx((entities["unseen"]["hits@10"],))


def test_one_modality_has_one_curve_and_a_picture_may_hold_several_tests(dataset, tmp_path):
    scorer = DistMult(4)
    one = Model(SNAG(dataset.graph, scorer.space, {"numbers": Numbers()}), scorer)
    tests = {
        name: missing_test(model, dataset, shares=(0.0, 0.5), seeds=1)
        for name, model in {"one": one, "two": model_of(dataset)}.items()
    }
    assert list(tests["one"].values) == ["numbers"]
    assert draw(tests, tmp_path / "missing.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_there_cannot_go(dataset):
    scorer = DistMult(4)
    plain = Model(Table(dataset.graph, scorer.space), scorer)
    with pytest.raises(ValueError, match="Table reads no modalities"), modalities_dropped(plain, 0.5):
        pass
    with pytest.raises(ValueError, match="has not the modality image; it has numbers, relations"):
        missing_test(model_of(dataset), dataset, names=["image"])
    with pytest.raises(ValueError, match=r"a share lies in \[0, 1\], not 1.5"):
        missing_test(model_of(dataset), dataset, shares=[1.5])
    with pytest.raises(ValueError, match="shares are numbers that differ in six digits"):
        missing_test(model_of(dataset), dataset, shares=[0.5, 0.5])
    with pytest.raises(ValueError, match="shares are numbers that differ in six digits"):
        missing_test(model_of(dataset), dataset, shares=[0, 0.2, 0.2000001])
    with pytest.raises(ValueError, match="a modality is named once; numbers, numbers repeats one"):
        missing_test(model_of(dataset), dataset, names=["numbers", "numbers"])
    with pytest.raises(ValueError, match="no facts to rank"):
        missing_test(model_of(dataset), dataset, facts=dataset.test[:0])

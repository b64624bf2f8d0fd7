from __future__ import annotations

import pytest

from gnnkg.cli.parts import run as parts_command
from gnnkg.config import ConfigError
from gnnkg.core import Sampler, Transform
from gnnkg.encoders import Table
from gnnkg.experiment import Experiment, from_config, try_out
from gnnkg.parts import PLACES, Init, MakeEncoder, MakeOptimizer, MakeSchedule, MakeScorer, describe, expand, read_as
from gnnkg.scorers import DistMult
from gnnkg.strength import Alpha
from gnnkg.terms import N3
from tests.test_train import ring

SHORT_NAMES = [
    ("Uniform", Sampler, "gnnkg.samplers.Uniform"),
    ({"class_path": "Uniform", "init_args": {"bound": 0.1}}, Init, "gnnkg.encoders.init.Uniform"),
    ("Table", MakeEncoder, "gnnkg.encoders.Table"),
    ("Adagrad", MakeOptimizer, "torch.optim.Adagrad"),
    ("gnnkg.samplers.Uniform", Sampler, "gnnkg.samplers.Uniform"),
]


@pytest.mark.parametrize(("value", "hint", "path"), SHORT_NAMES)
def test_a_short_name_is_looked_up_where_its_place_says(value, hint, path):
    assert expand(value, hint, "here")["class_path"] == path


@pytest.mark.parametrize("place", PLACES.values(), ids=lambda place: place.word)
def test_every_place_knows_classes_of_its_kind_only(place):
    classes = place.classes()
    assert classes
    assert all(issubclass(cls, place.base) and cls is not place.base for cls in classes.values())


def test_places_hold_what_belongs_there():
    known = {place.word: set(place.classes()) for place in PLACES.values()}
    assert known["encoder"] == {"Table", "RGCN", "CompGCN", "GCN", "DiagonalGAT", "NBFNet", "Sampled", "SNAG"}
    assert {"Normal", "Uniform", "XavierNormal"} == known["init"]
    assert {"Ranking", "Denoising", "N3", "L2", "L3", "Frobenius"} == known["term"]
    assert {"Annealed", "ByFrequency", "HoldWins"} == known["schedule of alpha"]
    assert {"CrossEntropy", "BCE", "SelfAdversarial", "Margin"} == known["loss"]
    assert known["sampler"].isdisjoint(known["loss"])


REFUSED = [
    ("DistMul", MakeScorer, r"here: there is no scorer 'DistMul' \(did you mean DistMult\?\)\. Known: .*ComplEx"),
    ("CrossEntropy", Sampler, r"here: there is no sampler 'CrossEntropy'\. Known: AllEntities, InBatch, NSCaching"),
    ("nowhere.Thing", Sampler, "nowhere.Thing cannot be imported"),
    ("gnnkg.samplers.Nothing", Sampler, "gnnkg.samplers.Nothing cannot be imported"),
    ("gnnkg.encoders.Normal", MakeEncoder, "expected a subclass of Encoder, and gnnkg.encoders.Normal is none"),
    (
        {"class_path": "DistMult", "init_args": {"dimm": 3}},
        MakeScorer,
        r"here.dimm: .* \(did you mean dim\?\)\. Accepted: dim, gamma",
    ),
    ({"class_path": "DistMult", "init_args": {"dim": "wide"}}, MakeScorer, "here.dim: expected int, found 'wide'"),
    ({"class_path": "DistMult", "init_args": 3}, MakeScorer, "here: expected a mapping of names to values, found 3"),
    (
        {"class_path": "Uniform", "init_args": {"share": "all"}},
        Sampler,
        r"here.share: expected Literal\['batch', 'chunk', 'query'\]",
    ),
    ({"class_path": "Uniform"}, Init, "here: Uniform needs bound"),
    ({"class": "DistMult"}, MakeScorer, "here: expected a name, or class_path .* found {'class': 'DistMult'}"),
    (None, Transform, "here: expected a name"),
    ("Aneald", float | Alpha, r"here: there is no schedule of alpha 'Aneald' \(did you mean Annealed\?\)"),
    ({"one": "N3"}, dict[str, Sampler], "here.one: there is no sampler 'N3'"),
    ("three", int | None, r"here: expected int \| None, found 'three'"),
]


@pytest.mark.parametrize(("value", "hint", "message"), REFUSED)
def test_a_wrong_part_is_refused_with_what_was_expected(value, hint, message):
    with pytest.raises(ConfigError, match=message):
        expand(value, hint, "here")


def test_nested_parts_are_expanded_by_the_hints_of_their_parameters():
    nested = {"class_path": "Table", "init_args": {"init": "XavierNormal", "inverse": "tied"}}
    expanded = expand(nested, MakeEncoder, "encoder")
    assert expanded["init_args"]["init"] == {"class_path": "gnnkg.encoders.init.XavierNormal", "init_args": {}}
    assert expanded["init_args"]["inverse"] == "tied"


def test_arguments_that_are_given_later_are_not_asked_for():
    assert expand("Table", MakeEncoder, "encoder") == {"class_path": "gnnkg.encoders.Table", "init_args": {}}
    with pytest.raises(ConfigError, match=r"encoder.graph: Table accepts no key 'graph'"):
        expand({"class_path": "Table", "init_args": {"graph": 1}}, MakeEncoder, "encoder")


def test_a_part_in_the_place_of_a_default_one_keeps_its_own_defaults() -> None:
    """Table, the default encoder, has an argument ``sparse`` as well, which is False."""
    parts = {
        "dataset": "cldr",
        "scorer": "MLP",
        "encoder": "NBFNet",
        "sampler": "Uniform",
        "terms": {"n3": {"class_path": "N3", "init_args": {"weight": 0.1}}},
    }
    experiment = read_as(Experiment, parts | {"optimizer": "Adam", "steps": 1}, "here")
    assert experiment.config["encoder"]["init_args"]["sparse"] is None
    n3 = {"class_path": "N3", "init_args": {"weight": float("nan")}}
    with pytest.raises(ConfigError, match=r"here: terms\.n3\.init_args\.weight: expected a number, found nan"):
        read_as(Experiment, parts | {"terms": {"n3": n3}, "optimizer": "Adam", "steps": 1}, "here")


def test_a_number_may_stand_in_the_place_of_a_part():
    assert expand(0.5, float | Alpha, "alpha") == 0.5
    assert expand("Annealed", float | Alpha, "alpha")["class_path"] == "gnnkg.strength.schedules.Annealed"


NEEDED = {
    "StepLR": {"step_size": 1},
    "MultiStepLR": {"milestones": [1]},
    "ExponentialLR": {"gamma": 0.9},
    "CosineAnnealingLR": {"T_max": 3},
    "CosineAnnealingWarmRestarts": {"T_0": 2},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "cycle_momentum": False},
    "OneCycleLR": {"max_lr": 0.1, "total_steps": 10},
    "ReduceLROnPlateau": {"mode": "max"},
    "WarmUp": {"steps": 1, "then": {"class_path": "CosineAnnealingLR", "init_args": {"T_max": 3}}},
}


@pytest.mark.parametrize("what", ["optimizer", "schedule"])
def test_every_optimizer_and_schedule_that_is_offered_trains(what):
    data = ring()
    for name in PLACES[MakeOptimizer if what == "optimizer" else MakeSchedule].classes():
        named = {"class_path": name, "init_args": NEEDED.get(name, {})}
        experiment = from_config(
            {
                "dataset": "cldr",
                "scorer": {"class_path": "DistMult", "init_args": {"dim": 4}},
                "sampler": {"class_path": "Uniform", "init_args": {"num_negatives": 4}},
                "terms": {"plain": {"class_path": "Ranking", "init_args": {"loss": "CrossEntropy"}}},
                "optimizer": "Adam",
                "accelerator": "cpu",
                "steps": 2,
                what: named,
            }
        )
        assert try_out(experiment, data).steps == 2


@pytest.mark.parametrize(
    ("name", "hint", "message"),
    [
        ("LBFGS", MakeOptimizer, "here: LBFGS is no optimizer for an experiment: it computes a loss several times"),
        ("torch.optim.LBFGS", MakeOptimizer, "here: torch.optim.LBFGS is no optimizer"),
        ("SparseAdam", MakeOptimizer, r"Table\(sparse=True\) learns by Adagrad or SGD"),
        ("LambdaLR", MakeSchedule, "is a function, which cannot be written in YAML"),
        ("MultiplicativeLR", MakeSchedule, "is a function, which cannot be written in YAML"),
        ("torch.optim.lr_scheduler.SequentialLR", MakeSchedule, "no schedule for an experiment: its schedulers are of"),
        ("ChainedScheduler", MakeSchedule, "no schedule for an experiment: its schedulers are of"),
    ],
)
def test_what_no_experiment_can_use_is_not_offered_and_says_why(name, hint, message):
    assert name.rpartition(".")[2] not in PLACES[hint].classes()
    with pytest.raises(ConfigError, match=message):
        expand(name, hint, "here")
    with pytest.raises(ConfigError, match="for an experiment"):
        parts_command([name.rpartition(".")[2]])


def test_what_may_be_absent_may_be_null():
    assert expand(None, Transform | None, "transform") is None


@pytest.mark.parametrize(
    ("hint", "cls", "words"),
    [
        (MakeScorer, DistMult, ["diagonal bilinear", "dim: int, default 100"]),
        (MakeEncoder, Table, ["Free vectors", "init: init (Normal, Uniform, XavierNormal), default None"]),
    ],
)
def test_a_class_is_described_with_what_it_accepts(hint, cls, words):
    text = describe(PLACES[hint], cls.__name__)
    assert all(word in text for word in words)
    assert "graph" not in text.split("\n\n")[-1]


def test_required_arguments_are_described_as_such():
    (term,) = [place for place in PLACES.values() if place.word == "term"]
    assert "weight: float, required" in describe(term, N3.__name__)


def test_a_key_that_yaml_took_for_a_truth_value_is_told() -> None:
    with pytest.raises(ConfigError, match="sampler: expected words as keys, found True"):
        expand({"class_path": "AllEntities", "init_args": {True: "all"}}, Sampler, "sampler")


def test_every_schedule_of_torch_can_be_described() -> None:
    """Some of their modules import the names in their hints for type checkers alone."""
    place = PLACES[MakeSchedule]
    for name in place.classes():
        assert name in describe(place, name)
    parts = expand({"class_path": "MultiStepLR", "init_args": {"milestones": [2, 4]}}, MakeSchedule, "schedule")
    assert parts["init_args"] == {"milestones": [2, 4]}

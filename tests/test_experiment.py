from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from gnnkg.config import ConfigError, parse_overrides
from gnnkg.core import Model, Objective
from gnnkg.data.queries import Queries
from gnnkg.experiment import build, evaluate_run, from_config, load_dataset, load_run, read, resume, train
from gnnkg.holding import InUse
from gnnkg.lab.recording import judged
from gnnkg.losses import CrossEntropy
from gnnkg.progress import TrainingFailed
from gnnkg.run import RunDirectory
from gnnkg.samplers import Uniform
from gnnkg.scorers import DistMult, RotatE
from gnnkg.terms import N3, Ranking
from gnnkg.transforms import EMU

TEXT = """
dataset: cldr
scorer: {class_path: DistMult, init_args: {dim: 8}}
sampler: {class_path: Uniform, init_args: {num_negatives: 16}}
terms:
  plain: {class_path: Ranking, init_args: {loss: CrossEntropy, weight: 1e-1}}
  mutated:
    class_path: Ranking
    init_args: {loss: CrossEntropy, per_negative: true, transform: {class_path: EMU, init_args: {keep: 0.4}}}
  n3: {class_path: N3, init_args: {weight: 0.001}}
optimizer: {class_path: Adagrad, init_args: {lr: 0.1}}
schedule: {class_path: StepLR, init_args: {step_size: 10}}
queries: {batch_size: 50}
steps: 4
validate_every: 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(TEXT)
    return path


def test_a_file_becomes_the_objects_that_it_names(file, dataset):
    experiment = read(file)
    assert isinstance(experiment.sampler, Uniform)
    assert experiment.sampler.num_negatives == 16
    assert isinstance(experiment.scorer(), DistMult)
    plain, mutated, n3 = experiment.terms.values()
    assert isinstance(plain, Ranking)
    assert plain.weight == 0.1
    assert isinstance(plain.loss, CrossEntropy)
    assert isinstance(mutated, Ranking)
    assert isinstance(mutated.transform, EMU)
    assert mutated.transform.keep == 0.4
    assert n3 == N3(weight=0.001)
    assert experiment.queries == Queries(batch_size=50)
    model, objective = build(experiment, dataset)
    assert isinstance(model, Model)
    assert isinstance(objective, Objective)
    optimizer = experiment.optimizer(model.parameters())
    assert isinstance(optimizer, torch.optim.Adagrad)
    assert experiment.schedule is not None
    assert isinstance(experiment.schedule(optimizer), torch.optim.lr_scheduler.StepLR)


def test_initial_values_follow_the_seed_alone(file, dataset):
    def entity(seed: int) -> torch.Tensor:
        torch.manual_seed(123 + seed)
        return build(read(file, {"seed": seed}), dataset)[0].encoder.entity

    assert torch.equal(entity(1), entity(1))
    assert not torch.equal(entity(1), entity(2))


def test_building_twice_shares_no_parameter(file, dataset):
    experiment = read(file, {"scorer": "HAKE"})
    first, second = build(experiment, dataset)[0], build(experiment, dataset)[0]
    assert {id(p) for p in first.parameters()}.isdisjoint(id(p) for p in second.parameters())


def test_the_complete_config_reads_back_as_the_same_experiment(file):
    config = read(file, {"encoder.init": "XavierNormal"}).config
    assert config["scorer"]["init_args"] == {"dim": 8, "gamma": 24.0}
    assert config["encoder"]["init_args"]["inverse"] == "learned"
    assert config["encoder"]["init_args"]["init"]["init_args"] == {"gain": 1.0}
    assert config["patience"] is None
    written = yaml.safe_load(yaml.safe_dump(config, sort_keys=False))
    assert from_config(written).config == config


OVERRIDES = [
    (["--seed", "3"], lambda e: e.seed == 3),
    (["--scorer.dim", "70"], lambda e: e.config["scorer"]["init_args"]["dim"] == 70),
    (["--scorer.init_args.dim=70"], lambda e: e.config["scorer"]["init_args"]["dim"] == 70),
    (["--scorer", "RotatE"], lambda e: isinstance(e.scorer(), RotatE)),
    (["--terms.mutated.transform.keep", "0.9"], lambda e: e.terms["mutated"].transform.keep == 0.9),
    (["--terms.plain.loss.class_path", "BCE"], lambda e: type(e.terms["plain"].loss).__name__ == "BCE"),
    (["--terms.l2", "{class_path: L2, init_args: {weight: 1e-3}}"], lambda e: e.terms["l2"].weight == 0.001),
    (["--encoder.inverse", "tied"], lambda e: e.encoder.keywords["inverse"] == "tied"),
    (["--queries.batch_size", "7"], lambda e: e.queries.batch_size == 7),
    (["--schedule", "null"], lambda e: e.schedule is None),
    (["--memory", "2GB"], lambda e: e.memory == "2GB"),
]


@pytest.mark.parametrize(
    ("arguments", "holds"), OVERRIDES, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_any_field_can_be_changed_from_the_command_line(file, arguments, holds):
    assert holds(read(file, parse_overrides(arguments)))


def test_a_field_below_a_number_is_refused(file):
    with pytest.raises(ConfigError, match="steps is 4, which has no field more"):
        read(file, {"steps.more": 3})


REFUSED = [
    (
        {"stepss": 3},
        r"stepss: Experiment accepts no key 'stepss' \(did you mean steps\?\)\. Accepted: dataset, scorer, .*seed",
    ),
    ({"config": {}}, "accepts no key 'config'"),
    ({"scorer.dimm": 3}, r"scorer.dimm: .*Accepted: dim, gamma"),
    ({"queries.batch": 3}, r"queries.batch: .*Accepted: batch_size"),
    ({"terms.mutated.transform.keepp": 3}, "terms.mutated.transform.keepp: EMU accepts no key"),
    ({"terms.mutated.transform.keep": "much"}, "terms.mutated.transform.keep: expected float, found 'much'"),
    ({"terms.mutated.transform.keep": 3.0}, "experiment.yaml: terms: keep is a probability, not 3.0$"),
    ({"steps": None}, "give either steps or epochs"),
    ({"epochs": 2}, "give either steps or epochs"),
    ({"queries.batch_size": 0}, "experiment.yaml: queries: batch_size must be at least 1, not 0"),
    ({"optimizer.lr": "fast"}, "optimizer.lr: expected float"),
    ({"seed": -1}, "seed is at least 0"),
    ({"devices": 0}, "devices at least 1, not 0 and 0"),
    (
        {"terms": {"a.b": {"class_path": "N3", "init_args": {"weight": 1.0}}}},
        "the name of a term holds no dot.* not 'a.b'",
    ),
    ({"seed": 1.5}, "seed: expected int, found 1.5"),
]


@pytest.mark.parametrize(("overrides", "message"), REFUSED)
def test_a_mistake_is_named_with_its_place(file, overrides, message):
    with pytest.raises(ConfigError, match=message):
        read(file, overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dataset: [", "no valid YAML"),
        ("just words", "expected a mapping"),
        ("scorer: DistMult", "needs dataset and sampler and"),
    ],
)
def test_a_file_that_is_no_experiment_is_refused_by_name(tmp_path, text, message):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no file .*absent\.yaml"):
        read(tmp_path / "absent.yaml")


def test_a_derived_file_holds_only_what_differs(file):
    (file.parent / "sub").mkdir()
    derived = file.parent / "sub" / "derived.yaml"
    derived.write_text("base: ../experiment.yaml\nseed: 5\nscorer: RotatE\nterms.mutated.transform.keep: 0.7\n")
    experiment = read(derived, {"steps": 9})
    assert isinstance(experiment.scorer(), RotatE)
    assert experiment.config["scorer"]["init_args"]["dim"] == 100, "a plain key replaces the base's value whole"
    assert experiment.terms["mutated"].transform.keep == 0.7
    assert set(experiment.terms) == {"plain", "mutated", "n3"}
    assert (experiment.seed, experiment.steps) == (5, 9)


def test_a_base_that_is_missing_or_circular_is_named(file):
    file.write_text("base: nothing.yaml")
    with pytest.raises(ConfigError, match=r"experiment.yaml: its base .*nothing.yaml does not exist"):
        read(file)
    file.write_text("base: experiment.yaml")
    with pytest.raises(ConfigError, match="based on itself"):
        read(file)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set of one's own: a ring of persons."""
    path = tmp_path / "ring"
    path.mkdir()
    facts = [
        f"p{i}\t{relation}\tp{(i + step) % 20}\n" for i in range(20) for relation, step in (("next", 1), ("after", 2))
    ]
    (path / "train.txt").write_text("".join(facts[:30]))
    (path / "valid.txt").write_text("".join(facts[30:35]))
    (path / "test.txt").write_text("".join(facts[35:]))
    return path


def test_a_run_is_loaded_with_its_best_weights_from_any_folder(file, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    run = train(read(file, {"dataset": "ring"}), "run", progress=False)
    assert (run.path / "curve.png").stat().st_size > 0
    monkeypatch.chdir("/")
    experiment, dataset, model, again = load_run(folder.parent / "run")
    assert experiment.config == again.config
    assert dataset.name == "ring"
    assert not model.training
    fresh, _ = build(experiment, dataset)
    again.load_weights(fresh)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), fresh.parameters(), strict=True))


def test_resuming_a_shorter_run_equals_the_longer_one(file, folder, tmp_path):
    longer = {"dataset": str(folder), "steps": 8}
    whole = train(read(file, longer), tmp_path / "whole", progress=False)
    part = train(read(file, longer | {"steps": 4}), tmp_path / "part", progress=False)
    config = yaml.safe_load((part.path / "config.yaml").read_text())
    (part.path / "config.yaml").write_text(yaml.safe_dump(config | {"steps": 8}, sort_keys=False))
    resumed = resume(part.path, progress=False)
    assert (resumed.path / "weights.safetensors").read_bytes() == (whole.path / "weights.safetensors").read_bytes()


def test_a_run_refuses_a_data_set_that_has_changed(file, folder, tmp_path):
    train(read(file, {"dataset": str(folder)}), tmp_path / "run", progress=False)
    (folder / "test.txt").write_text("p0\tnext\tp5\n")
    with pytest.raises(ValueError, match="trained on 'ring' with data hash"):
        load_run(tmp_path / "run")


def test_parts_that_do_not_go_together_leave_no_run_behind(file, folder, tmp_path):
    wrong = {"dataset": str(folder), "encoder.init": {"class_path": "Uniform", "init_args": {"bound": -1}}}
    with pytest.raises(RuntimeError, match="uniform_"):
        train(read(file, wrong), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"memory": "2GiBB"}, "a size of memory reads like"),
        ({"optimizer.lr": -1.0}, "optimizer: .*learning rate"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"explosion": 0.0}, "step 0: the loss term"),
    ],
)
def test_a_training_that_fails_before_its_first_checkpoint_leaves_no_run_behind(
    file, folder, tmp_path, overrides, message
):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises((ValueError, TrainingFailed), match=message):
        train(read(file, {"dataset": str(folder)} | overrides), tmp_path / "run", progress=False)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]
    train(read(file, {"dataset": str(folder)}), tmp_path / "run", progress=False)


def test_a_training_that_fails_keeps_what_lay_in_its_folder_before(file, folder, tmp_path):
    mine = tmp_path / "mine"
    (mine / "tensorboard").mkdir(parents=True)
    kept = [mine / name for name in ("vocabulary.json", "environment.json", "tensorboard/events")]
    for path in kept:
        path.write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"holds vocabulary\.json and environment\.json and tensorboard, where a run"
    ):
        train(read(file, {"dataset": str(folder), "clip_norm": 0.0}), mine, progress=False)
    assert [path.read_text() for path in kept] == ["mine"] * 3


MINE = """
from gnnkg.scorers import DistMult

class Mine(DistMult):
    pass
"""


def test_a_class_of_ones_own_is_found_again_where_the_experiment_lay(file, folder, tmp_path):
    """In processes of their own, as each command is one."""
    beside, elsewhere = tmp_path / "beside", tmp_path / "elsewhere"
    beside.mkdir()
    elsewhere.mkdir()
    (beside / "mine_for_test.py").write_text(MINE)
    named = TEXT.replace("class_path: DistMult", "class_path: mine_for_test.Mine").replace("cldr", str(folder))
    (beside / "experiment.yaml").write_text(named)

    def gnnkg(*arguments: object, cwd: Path = elsewhere) -> tuple[int, str]:
        command = [sys.executable, "-m", "gnnkg", *map(str, arguments)]
        root = {"PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(command, cwd=cwd, env=os.environ | root, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    run = tmp_path / "run"
    assert gnnkg("train", beside / "experiment.yaml", "--run", run, "--quiet") == (0, "")
    assert RunDirectory.open(run).environment["modules"] == {"mine_for_test": str(beside)}
    assert gnnkg("evaluate", run) == (0, "")
    (elsewhere / "mine_for_test.py").write_text(MINE)
    status, told = gnnkg("evaluate", run)
    assert status == 2
    assert f"and another mine_for_test in {elsewhere} is imported in its place" in told
    (beside / "mine_for_test.py").unlink()
    assert gnnkg("evaluate", run) == (0, "")  # where it was moved to
    status, told = gnnkg("evaluate", run, cwd=tmp_path)
    assert status == 2
    assert f"names classes of mine_for_test, which lay in {beside} and is no longer there: put it back" in told


def test_only_folders_of_modules_that_the_experiment_names_become_importable(file, folder, tmp_path):
    run = train(read(file, {"dataset": str(folder)}), tmp_path / "run", progress=False)
    assert "modules" not in run.environment
    environment = run.path / "environment.json"
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / "another.py").write_text("")
    environment.write_text(json.dumps(run.environment | {"modules": {"another": str(strange)}}))
    load_run(run.path)
    assert str(strange) not in sys.path


def test_a_run_that_was_made_in_python_says_how_it_is_loaded(dataset, tmp_path):
    RunDirectory.create(tmp_path / "run", {"seed": 3}, dataset)
    with pytest.raises(
        ConfigError, match=r"was started in Python: .*has no dataset and no scorer .*load_weights\(model\)"
    ):
        load_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="fit with this run continues it"):
        resume(tmp_path / "run")


def test_a_run_that_goes_on_under_other_code_says_so(file, folder, tmp_path, monkeypatch):
    overrides = {"dataset": str(folder), "steps": 4}
    run = train(read(file, overrides), tmp_path / "run", progress=False)
    first = run.environment["commit"]

    def go_on(steps: int) -> None:
        config = yaml.safe_load((run.path / "config.yaml").read_text())
        (run.path / "config.yaml").write_text(yaml.safe_dump(config | {"steps": steps}, sort_keys=False))
        resume(run.path, progress=False)

    go_on(6)
    assert "continued" not in run.environment
    assert run.other_code == ""
    monkeypatch.setattr("gnnkg.run.commit", lambda: "another")
    resume(run.path, progress=False)  # it is finished: nothing is trained
    assert run.other_code == ""
    for steps in (8, 10):
        go_on(steps)
    assert run.environment["commit"] == first
    assert [(each["step"], each["commit"]) for each in run.environment["continued"]] == [(6, "another")]
    assert run.other_code == "after step 6 trained under commit another"
    monkeypatch.undo()
    evaluate_run(run.path)
    assert run.result("test")["training"] == run.environment
    result = judged(run.path, "gnnkg lab", method="plain", note="mine")
    assert (result.commit, result.note) == (first, "mine; after step 6 trained under commit another")


def test_a_run_that_another_process_began_at_the_same_moment_is_left_to_it(file, folder, tmp_path, monkeypatch):
    def in_use(path: Path) -> None:
        raise InUse

    monkeypatch.setattr("gnnkg.train.held", in_use)
    with pytest.raises(InUse):
        train(read(file, {"dataset": str(folder)}), tmp_path / "run", progress=False)
    assert (tmp_path / "run" / "config.yaml").exists()


def test_a_value_that_does_not_suit_a_part_is_named_with_its_place(file, dataset):
    with pytest.raises(ConfigError, match="encoder: dropout probability"):
        build(read(file, {"encoder.entity_dropout": 1.5}), dataset)


def test_validation_is_carved_where_a_data_set_has_none(file, folder, tmp_path):
    without = tmp_path / "without"
    without.mkdir()
    for name in ("train", "test"):
        (without / f"{name}.txt").write_bytes((folder / f"{name}.txt").read_bytes())
    with pytest.raises(ValueError, match=r"no validation facts .* dataset_options: \{carve: 0\.05\}"):
        train(read(file, {"dataset": str(without)}), tmp_path / "run", progress=False)
    carved = {"dataset": str(without), "dataset_options": {"carve": 0.2, "carve_seed": 1}}
    found = load_dataset(read(file, carved))
    assert len(found.valid) > 0
    assert "carved out of train" in found.report.notes[-1]
    train(read(file, carved), tmp_path / "run", progress=False)
    with pytest.raises(ValueError, match="there is nothing to carve"):
        load_dataset(read(file, {"dataset": str(folder), "dataset_options": {"carve": 0.2}}))
    with pytest.raises(ConfigError, match="carve_seed: it draws what"):
        load_dataset(read(file, {"dataset": str(without), "dataset_options": {"carve_seed": 1}}))


def test_only_what_was_read_can_be_kept_in_a_run(file, folder, tmp_path):
    experiment = replace(read(file, {"dataset": str(folder)}), config={})
    with pytest.raises(ValueError, match="no config to keep"):
        train(experiment, tmp_path / "run")


def test_a_run_is_not_overwritten(file, folder, tmp_path):
    experiment = read(file, {"dataset": str(folder)})
    train(experiment, tmp_path / "run", progress=False)
    with pytest.raises(FileExistsError, match="holds a run already"):
        train(experiment, tmp_path / "run", progress=False)

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from gnnkg.config import ConfigError
from gnnkg.lab.budget import Budget, Cost
from gnnkg.lab.grid import cell_name, only, read_grid
from gnnkg.transforms import EMU

ROOT = Path(__file__).parents[2]


def test_a_grid_is_every_combination_with_all_of_the_first_seed_first(write_grid):
    models = {"DistMult": {}, "wide": {"scorer.dim": 16}}
    grid = read_grid(write_grid(seeds=[3, 4], models=models))
    names = [cell_name(*cell) for cell in grid.cells()]
    assert len(names) == len(set(names)) == 8
    assert names[:3] == ["random-distmult-plain-seed3", "random-distmult-demix-seed3", "random-wide-plain-seed3"]
    assert names[4] == "random-distmult-plain-seed4"


def test_later_changes_win(write_grid):
    path = write_grid(
        experiment__seed=9,
        models={"narrow": {"scorer.dim": 4, "optimizer.lr": 0.2, "queries.batch_size": 7}},
        methods={"a": {"optimizer.lr": 0.3}, "b": {"optimizer.lr": 0.4}},
        also=[
            {"model": "narrow", "method": "b", "changes": {"optimizer.lr": 0.5, "queries.batch_size": 8}},
            {"dataset": "random", "changes": {"queries.subsampling": True}},
        ],
    )
    a, b = (each.experiment(10, 5, 1) for each in read_grid(path).combinations)
    assert a.config["optimizer"]["init_args"]["lr"] == 0.3
    assert b.config["optimizer"]["init_args"]["lr"] == 0.5
    assert [each.queries.batch_size for each in (a, b)] == [7, 8]
    assert a.queries.subsampling
    assert b.queries.subsampling
    assert a.scorer().space.entity_dim == 4
    assert a.seed == 1
    tuned = read_grid(path).combinations[1].experiment(10, 5, 1, {"optimizer.lr": 0.6})
    assert tuned.config["optimizer"]["init_args"]["lr"] == 0.6


def test_a_base_file_is_found_beside_the_grid_and_changed(write_grid, folder, tmp_path):
    (tmp_path / "sub").mkdir()
    content = yaml.safe_load(write_grid().read_text())
    (tmp_path / "sub" / "common.yaml").write_text(yaml.safe_dump({**content["experiment"], "dataset": "cldr"}))
    path = write_grid(base="sub/common.yaml", experiment={"redraw": True})
    experiment = read_grid(path).combinations[0].experiment(10, 5, 0)
    assert experiment.redraw
    assert experiment.dataset == str(folder)


def test_every_cell_is_trained_for_the_same_steps_and_validated_as_often(write_grid):
    for combination in read_grid(write_grid()).combinations:
        experiment = combination.experiment(12, 4, 0)
        assert (experiment.steps, experiment.epochs, experiment.validate_every) == (12, None, 3)
        assert experiment.patience is None, "stopping early would not be an equal budget"
        assert experiment.config["schedule"]["init_args"]["total_iters"] == 12


def test_minutes_are_counted_in_steps():
    assert Budget(minutes=2.0).in_steps(Cost(seconds=0.5, peak_bytes=0)) == 240
    assert Budget(minutes=0.001).in_steps(Cost(seconds=5.0, peak_bytes=0)) == 1
    assert Budget(steps=7).in_steps(Cost(seconds=5.0, peak_bytes=0)) == 7


def test_injection_hides_facts_from_every_cell(write_grid):
    grid = read_grid(write_grid(inject=0.1, judge={"mu": 3.0, "delta": "additive"}))
    assert all(each.experiment(1, 1, 0).dataset_options == {"hide": 0.1} for each in grid.combinations)
    plain, own = (grid.judge_of(each.experiment(1, 1, 0)) for each in grid.combinations)
    assert (plain.mu, plain.delta) == (3.0, "additive")
    assert (own.mu, own.delta, own.warm_up) == (1.0, "relative", 1)


def test_some_combinations_alone(write_grid):
    grid = read_grid(write_grid())
    assert [each.method for each in only(grid, "*-demix").combinations] == ["DeMix"]
    with pytest.raises(ConfigError, match=r"nothing in .* is called 'x'. It has: random-distmult-plain, "):
        only(grid, "x")


def test_some_seeds_alone(write_grid):
    grid = read_grid(write_grid(seeds=[3, 4, 5]))
    assert [seed for _, seed in only(grid, seeds=[5, 4, 5]).cells()] == [5, 5, 4, 4]
    assert only(grid, "*-plain").seeds == (3, 4, 5)
    with pytest.raises(ConfigError, match=r"has no seed 6\. It has: 3, 4, 5"):
        only(grid, seeds=[4, 6])


TUNE = {"trials": 2, "budget": {"steps": 3}, "space": {"optimizer.lr": [0.01, 0.1, "log"]}}

REFUSED = [
    ({"method": {}}, r"method: a grid has no key 'method' \(did you mean methods\?\)\. Known: base, experiment"),
    ({"budget": None}, "a grid needs budget"),
    ({"experiment": None}, r"a grid needs base \(the file of an experiment\) or experiment"),
    ({"base": "absent.yaml"}, "there is no file .*absent.yaml"),
    ({"budget": {"hours": 2}}, r"budget: expected \{minutes: 20\} or \{steps: 20000\}, found \{'hours': 2\}"),
    ({"budget": {"steps": 2.5}}, "budget.steps: expected a number above 0, found 2.5"),
    ({"budget": {"minutes": 0}}, "budget.minutes: expected a number above 0, found 0"),
    ({"seeds": [1, 1]}, r"seeds: expected a list of different whole numbers, found \[1, 1\]"),
    ({"seeds": 3}, "seeds: expected a list"),
    ({"validations": 0}, "validations: expected a whole number of at least 1, found 0"),
    ({"inject": 1.5}, r"inject: expected a share, in \[0, 1\), found 1.5"),
    ({"judge": {"mue": 1}}, "judge.mue: DeMix accepts no key 'mue'"),
    ({"judge": {"alpha": -1.0}}, "judge: alpha and warm_up must be at least 0"),
    ({"models": []}, r"models: expected a mapping of names to values, found \[\]"),
    ({"models": {}}, "models: expected at least one name"),
    ({"models": {"m": {"scorer.dimm": 3}}}, "random, m, plain: scorer.dimm: DistMult accepts no key"),
    ({"methods": {"m": {"redraw.more": 3, "redraw": 4}}}, "methods.m: redraw.more: redraw is .*no field more|redraw"),
    ({"methods": {"m": 3}}, "methods.m: expected a mapping"),
    ({"methods": {"A b": {}, "a-b": {}}}, "random, DistMult, A b and random, DistMult, a-b would both be called"),
    ({"datasets": {"umsl": {}}}, r"datasets.umsl: no data set is called 'umsl' \(did you mean umls\?\)"),
    ({"also": {}}, "also: expected a list"),
    ({"also": [{"model": "DistMult"}]}, "also.0: expected dataset, model, method .* and changes"),
    ({"also": [{"model": "x", "changes": {}}]}, "also.0.model: there is no model 'x' in this grid. Known: DistMult"),
    ({"tune": {"trials": 2}}, "tune: expected trials, budget and some of seed, space, methods"),
    ({"tune": TUNE | {"trials": 0}}, "tune.trials: expected a whole number of at least 1, found 0"),
    ({"tune": TUNE | {"space": {}}}, "tune: nothing is tuned for plain, DeMix"),
    ({"tune": TUNE | {"space": {"optimizer.lr": 3}}}, r"tune.space.optimizer.lr: expected \[low, high\]"),
    ({"tune": TUNE | {"space": {"optimizer.lr": [0.1, 0.01]}}}, "optimizer.lr: low must be below high"),
    ({"tune": TUNE | {"space": {"optimizer.lr": [0, 1, "log"]}}}, "and above 0 with log"),
    ({"tune": TUNE | {"space": {"optimizer.lrr": [0.1, 1]}}}, "optimizer.lrr: Adam accepts no key 'lrr'"),
    ({"tune": TUNE | {"space": {"scorer.dim": {"choices": [4, "x"]}}}}, "scorer.dim: expected int, found 'x'"),
    ({"tune": TUNE | {"methods": {"demix": {}}}}, r"there is no such method \(did you mean DeMix\?\)"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=lambda value: str(value)[:50])
def test_a_mistake_is_named_with_its_file_and_place(write_grid, changes, message):
    path = write_grid(**changes)
    with pytest.raises(ConfigError, match=message) as caught:
        read_grid(path)
    assert str(path) in str(caught.value)


def test_both_ends_of_every_range_are_tried(write_grid):
    space = {"optimizer.lr": [0.01, 0.1], "queries.batch_size": {"choices": [4, 5, 6]}}
    tuning = read_grid(write_grid(tune=TUNE | {"space": space})).tuning
    assert tuning is not None
    tried = tuning.ends("plain")
    assert [each["queries.batch_size"] for each in tried] == [4, 5, 6]
    assert {each["optimizer.lr"] for each in tried} == {0.01, 0.1}


def test_the_grid_of_the_readme_can_be_read(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```yaml\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "grid.yaml").write_text(text.replace("recipes/", f"{ROOT}/recipes/"))
    grid = read_grid(tmp_path / "grid.yaml")
    assert len(grid.combinations) == 4
    transforms = [
        [getattr(term, "transform", None) for term in each.experiment(1, 1, 0).terms.values()]
        for each in grid.combinations
    ]
    assert transforms[0] == [None]
    assert any(isinstance(transform, EMU) for transform in transforms[1])

from __future__ import annotations

import pytest

from gnnkg.config import ConfigError, change, load_file, parse_overrides

SCORER = {"class_path": "DistMult", "init_args": {"dim": 8}}

CHANGES = [
    ({"scorer": SCORER}, {"scorer.dim": 9}, {"scorer": {"class_path": "DistMult", "init_args": {"dim": 9}}}),
    ({"scorer": SCORER}, {"scorer.init_args.dim": 9}, {"scorer": {"class_path": "DistMult", "init_args": {"dim": 9}}}),
    (
        {"scorer": SCORER},
        {"scorer.class_path": "RotatE"},
        {"scorer": {"class_path": "RotatE", "init_args": {"dim": 8}}},
    ),
    ({"scorer": "DistMult"}, {"scorer.dim": 9}, {"scorer": {"class_path": "DistMult", "init_args": {"dim": 9}}}),
    ({"scorer": SCORER}, {"scorer": "RotatE"}, {"scorer": "RotatE"}),
    ({"queries": {"batch_size": 2}}, {"queries.distinct": True}, {"queries": {"batch_size": 2, "distinct": True}}),
    ({}, {"queries.distinct": True}, {"queries": {"distinct": True}}),
    ({"seed": 1}, {"seed": 2, "steps": 3}, {"seed": 2, "steps": 3}),
]


@pytest.mark.parametrize(("config", "changes", "expected"), CHANGES)
def test_a_dotted_key_changes_one_field_and_a_plain_key_replaces(config, changes, expected):
    assert change(config, changes) == expected


def test_changing_leaves_the_original_alone():
    config = {"scorer": {"class_path": "DistMult", "init_args": {"dim": 8}}}
    assert change(config, {"scorer.dim": 9})["scorer"]["init_args"]["dim"] == 9
    assert config["scorer"]["init_args"]["dim"] == 8


def test_overrides_are_read_as_yaml_with_numbers_as_people_write_them():
    arguments = [
        "--seed=3",
        "--optimizer.lr",
        "1e-3",
        "--patience",
        "null",
        "--terms",
        "{a: [1, x]}",
        "--redraw",
        "true",
    ]
    expected = {"seed": 3, "optimizer.lr": 0.001, "patience": None, "terms": {"a": [1, "x"]}, "redraw": True}
    assert parse_overrides(arguments) == expected


@pytest.mark.parametrize("arguments", [["--seed"], ["seed", "3"], ["--scorer.dim", "[1"], ["--", "3"]])
def test_a_malformed_override_is_refused(arguments):
    with pytest.raises(ConfigError):
        parse_overrides(arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 1\nseed: 3\nsteps: 2\n", "line 3: steps stands there twice, first in line 1"),
        ("a: {b: 1, b: 1}\n", "line 1: b stands there twice, first in line 1"),
        ("terms:\n  a: {x: 1}\n  b:\n    - {y: 1,\n       y: 2}\n", "line 5: y stands there twice, first in line 4"),
    ],
)
def test_a_key_that_stands_twice_is_refused(tmp_path, text, message):
    (tmp_path / "one.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_file(tmp_path / "one.yaml")


def test_a_key_may_stand_over_one_that_is_merged_in(tmp_path):
    (tmp_path / "one.yaml").write_text("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\n")
    assert load_file(tmp_path / "one.yaml")["b"] == {"x": 1, "y": 3}


def test_a_base_may_have_a_base(tmp_path):
    (tmp_path / "one.yaml").write_text("seed: 1\nsteps: 1\nepochs: 1\n")
    (tmp_path / "two.yaml").write_text("base: one.yaml\nsteps: 2\nepochs: 2\n")
    (tmp_path / "three.yaml").write_text("base: two.yaml\nepochs: 3\n")
    assert load_file(tmp_path / "three.yaml") == {"encoder": "Table", "seed": 1, "steps": 2, "epochs": 3}

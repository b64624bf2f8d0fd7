"""Noise tests, certificates and geometry in a laboratory."""

from __future__ import annotations

import json
import math

import pandas
import pytest
import torch

from gnnkg.cli import main
from gnnkg.config import ConfigError
from gnnkg.core import Model
from gnnkg.encoders import Table
from gnnkg.evaluation.certification import Smoothing, certify
from gnnkg.evaluation.perturbed import noise_test
from gnnkg.experiment import load_run
from gnnkg.graph import KnowledgeGraph
from gnnkg.lab.grid import only, read_grid
from gnnkg.lab.laboratory import Laboratory
from gnnkg.lab.robustness import geometry
from gnnkg.scorers import DistMult

METHODS = {
    "plain": {},
    "denoised": {
        "terms.denoising": {"class_path": "Denoising", "init_args": {"weight": 0.1, "reduce": "sum"}},
    },
}


def test_a_grid_that_asks_later_measures_finished_cells_once(write_grid, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["lab", str(write_grid(methods=METHODS)), "--out", str(out), "--quiet"]) == 0
    assert not (out / "robustness.md").exists()

    asking = str(write_grid(methods=METHODS, robust={"alphas": [1, 2], "draws": 2, "certify": 4}))
    assert main(["lab", asking, "--out", str(out), "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert "denoised-seed3: done" in printed
    assert "denoised-seed3: MRR by alpha" in printed
    for name in ("noise.png", "certificates.png", "spectrum.png"):
        assert (out / name).exists()
    table = pandas.read_csv(out / "robustness.csv")
    assert table["method"].tolist() == ["plain", "denoised"]

    plain, denoised = (
        json.loads((out / f"robustness/random-distmult-{name}-seed3.json").read_text()) for name in METHODS
    )
    _, dataset, model, _ = load_run(out / "runs" / "random-distmult-denoised-seed3")
    again = noise_test(model, dataset, alphas=[2.0], seeds=2, sigma=plain["own"]["sigma"])
    assert denoised["common"]["values"]["2"]["mrr"]["mean"] == again.values.mean("2") == table["common 2/mrr"][1]
    assert "common" not in plain
    assert denoised["certificate"]["figures"]["queries"] == 4
    assert "rows" not in denoised["certificate"]
    equal = certify(model, dataset, Smoothing(sigma=plain["own"]["sigma"]), num_queries=4).figures
    assert denoised["common certificate"]["figures"]["ca"] == equal["ca"] == table["common ca"][1]
    assert "common certificate" not in plain

    assert main(["lab", asking, "--out", str(out), "--quiet"]) == 0
    assert "MRR by alpha" not in capsys.readouterr().out  # nothing is measured twice


def test_the_first_method_must_be_there(write_grid, tmp_path):
    grid = only(read_grid(write_grid(methods=METHODS, robust={"draws": 1})), "*-denoised")
    with pytest.raises(ConfigError, match="in sigmas of random-distmult-plain: train that first"):
        Laboratory(grid, tmp_path / "out").run()


@pytest.mark.parametrize(
    ("robust", "told"),
    [
        ({"alphas": [0, 1]}, "robust: alphas must be different numbers above 0"),
        ({"draws": "two"}, "robust.draws: expected int, found 'two'"),
        ({"draw": 2}, "robust.draw: Robustness accepts no key 'draw'"),
        ({"certify": -1}, "certify at least 0"),
    ],
)
def test_faulty_settings_are_refused(write_grid, robust, told):
    with pytest.raises(ConfigError, match=told):
        read_grid(write_grid(robust=robust))


def test_geometry_of_known_vectors():
    """Four unit vectors along two axes; the gradient of <h, r, t> by h is r * t."""
    graph = KnowledgeGraph(torch.tensor([[0, 0, 1]]), 4, 1)
    scorer = DistMult(2)
    model = Model(Table(graph, scorer.space), scorer)
    with torch.no_grad():
        model.encoder.entity.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
        model.encoder.relation.fill_(3.0)
    found = geometry(model, graph, divisor=2.0)
    assert found["norm"] == 1
    assert found["norm sd"] == 0
    assert found["sigma"] == 0.5
    assert math.isclose(found["cosine"], -1 / 3)
    assert math.isclose(found["participation"], 1)
    assert math.isclose(found["slope"], 0.5 * 3.0)

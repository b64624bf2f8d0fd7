"""Noise tests, certificates and geometry in a laboratory."""

from __future__ import annotations

import json
import math
import shutil
from contextlib import contextmanager
from pathlib import Path

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
from gnnkg.holding import InUse, held
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


def measured(out, method: str, seed: int = 3) -> dict:
    return json.loads((out / f"robustness/random-distmult-{method}-seed{seed}.json").read_text())


def test_another_first_method_or_other_settings_measure_anew(write_grid, tmp_path, capsys):
    out = tmp_path / "out"

    def work(methods, *options: str, **robust) -> None:
        grid = write_grid(methods=methods, seeds=[3, 4], robust={"alphas": [1], "draws": 1, **robust})
        assert main(["lab", str(grid), "--out", str(out), "--quiet", *options]) == 0

    work(METHODS)
    before = measured(out, "plain")["own"]["sigma"]
    assert measured(out, "denoised")["common"]["sigma"] == before
    work(dict(reversed(METHODS.items())))
    assert "common" not in measured(out, "denoised")
    assert measured(out, "plain")["common"]["sigma"] == measured(out, "denoised")["own"]["sigma"] != before

    grid = write_grid(methods=METHODS, seeds=[3, 4], robust={"alphas": [1], "draws": 1, "divisor": 1.0})
    assert main(["lab", str(grid), "--out", str(out), "--quiet", "--only", "*-denoised"]) == 2
    assert "in sigmas of random-distmult-plain: train that first" in capsys.readouterr().err
    work(METHODS, "--seeds", "3", divisor=1.0)
    assert measured(out, "plain")["own"]["sigma"] == pytest.approx(3 * before)
    table = pandas.read_csv(out / "robustness.csv")
    assert table["seeds"].tolist() == [1, 1], "of two settings one is not the other's seed"
    assert table["sigma"][0] == pytest.approx(3 * before)
    assert "2 cells were measured with other settings and are left out" in (out / "robustness.md").read_text()


def test_measures_of_a_training_go_with_it(write_grid, tmp_path):
    out = tmp_path / "out"
    robust = {"alphas": [1], "draws": 1}
    assert main(["lab", str(write_grid(methods={"plain": {}}, robust=robust)), "--out", str(out), "--quiet"]) == 0
    before = measured(out, "plain")["own"]["values"]["0"]
    shutil.rmtree(out / "runs")
    (out / "results" / "random-distmult-plain-seed3.json").unlink()
    shutil.rmtree(out / "steps")
    longer = write_grid(methods={"plain": {}}, robust=robust, budget={"steps": 30})
    assert main(["lab", str(longer), "--out", str(out), "--quiet"]) == 0
    result = json.loads((out / "results" / "random-distmult-plain-seed3.json").read_text())
    after = measured(out, "plain")["own"]["values"]["0"]
    assert after["mrr"]["mean"] == pytest.approx(result["metrics"]["mrr"])
    assert after != before


def test_what_another_process_measures_first_is_waited_for(write_grid, tmp_path, monkeypatch):
    """Another process holds the first method's run: the others are trained in the meantime, and measured when it has let go."""
    out, grid = tmp_path / "out", read_grid(write_grid(methods=METHODS, robust={"alphas": [1], "draws": 1}))
    said: list[str] = []
    first = out / "runs" / "random-distmult-plain-seed3"

    @contextmanager
    def holding(folder: Path, wait: bool = False):
        if folder == first and not wait and not (out / "results" / "random-distmult-plain-seed3.json").exists():
            raise InUse("elsewhere")
        if folder == first and wait:
            said.append("waits")
            monkeypatch.undo()
            Laboratory(only(grid, "*-plain"), out).run()
        with held(folder, wait):
            yield

    monkeypatch.setattr("gnnkg.lab.laboratory.held", holding)
    Laboratory(grid, out, say=said.append).run()
    assert [line.partition(": ")[0].removeprefix("random-distmult-") for line in said if "a step" not in line] == [
        "plain-seed3", "denoised-seed3", "denoised-seed3", "waits", "denoised-seed3",
    ]  # fmt: skip
    assert measured(out, "denoised")["common"]["sigma"] == measured(out, "plain")["own"]["sigma"]


@pytest.mark.parametrize(
    ("robust", "told"),
    [
        ({"alphas": [0, 1]}, "robust: alphas must be numbers above 0 that differ"),
        ({"alphas": [float("inf")]}, "robust: alphas must be numbers above 0 that differ"),
        ({"alphas": [1, 1.0000001]}, "robust: alphas must be numbers above 0 that differ"),
        ({"divisor": float("nan")}, "divisor above 0"),
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

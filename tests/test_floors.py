"""What models must reach, and how fast: a small version of the recipes of the baselines."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gnnkg.evaluation.ranking import evaluate
from gnnkg.experiment import build, load_dataset, read
from gnnkg.train import fit

RECIPES = Path(__file__).parents[1] / "recipes" / "baselines"
SECONDS = 180
"""of all cores together: ten times what training and evaluation take"""

published = pytest.mark.datasets


@pytest.mark.parametrize(
    ("recipe", "steps", "floor"),
    [
        ("cldr_distmult", 400, 0.30),
        pytest.param("nations_complex", 300, 0.60, marks=published),
        pytest.param("nations_transe", 300, 0.40, marks=published),
        pytest.param("nations_rescal", 300, 0.45, marks=published),
        pytest.param("umls_distmult", 600, 0.60, marks=published),
        pytest.param("umls_rotate", 600, 0.75, marks=published),
        pytest.param("umls_hake", 600, 0.80, marks=published),
        pytest.param("kinship_complex", 600, 0.60, marks=published),
        pytest.param("codex-s_complex", 700, 0.25, marks=published),
    ],
)
def test_it_reaches_its_floor_in_time(recipe, steps, floor):
    experiment = read(RECIPES / f"{recipe}.yaml")
    dataset = load_dataset(experiment)
    model, objective = build(experiment, dataset)
    start = time.process_time()
    fit(
        model,
        objective,
        dataset,
        optimizer=experiment.optimizer,
        queries=experiment.queries,
        steps=steps,
        validate_every=steps,
        accelerator="cpu",
        progress=False,
    )
    mrr = evaluate(model, dataset, bootstrap=10).metrics["mrr"]
    assert time.process_time() - start < SECONDS
    assert mrr > floor

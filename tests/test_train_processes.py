"""Several processes share each batch and end with the same weights, close to those of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gnnkg import checkpoint

SCRIPT = """
import sys
import torch
torch.set_num_threads(1)
from tests.test_train import *
from gnnkg.samplers import AllEntities
dataset = ring()
torch.manual_seed(0)
scorer = DistMult(16)
model = Model(Table(dataset.graph, scorer.space), scorer)
objective = Objective(AllEntities(), {"plain": Ranking(CrossEntropy())})
run = RunDirectory.open(Path(sys.argv[1]))
settings = SETTINGS | {"queries": Queries(*map(int, sys.argv[3:4]))}
fit(model, objective, dataset, run=run, devices=int(sys.argv[2]), optimizer=partial(Adam, lr=0.01), **settings)
"""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("processes", "batch_size"),
    [
        ("2", "56"),  # 5 batches of 280 queries
        ("3", "93"),  # 3 batches, and a last one of a single query
    ],
)
def test_several_processes_learn_what_one_does(tmp_path, processes, batch_size):
    from gnnkg.run import RunDirectory
    from tests.test_train import ring

    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    weights = {}
    for devices in ("1", processes):
        run = RunDirectory.create(tmp_path / devices, {}, ring())
        root = str(Path(__file__).parents[1])
        environment = os.environ | {"PYTHONPATH": root, "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, str(script), str(run.path), devices, batch_size]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        weights[devices] = checkpoint.load(run.path / "checkpoint.safetensors")["model"]
    for name, one in weights["1"].items():
        assert torch.allclose(one, weights[processes][name], atol=1e-3), name
